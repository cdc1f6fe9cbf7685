"""Revocations: tasks that must not run (any more)."""

from django.db import models


class Revocation(models.Model):
    """A task that was revoked. Workers forget what they are told; this is not forgotten."""

    task_id = models.CharField(max_length=255, primary_key=True)
    revoked_at = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.task_id
