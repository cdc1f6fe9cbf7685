"""Attempts, counted for rate limits."""

from django.db import models


class Attempt(models.Model):
    """How often something was tried in one window. The key is a digest: no address is kept."""

    key = models.CharField(max_length=64, primary_key=True)
    count = models.PositiveIntegerField(default=0)
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.key
