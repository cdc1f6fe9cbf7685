"""Revoked tasks."""

from django.db import models


class Revocation(models.Model):
    """A task that must not run. Celery's workers keep revocations in memory; this row remains."""

    task_id = models.CharField(max_length=255, primary_key=True)
    revoked_at = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.task_id
