"""Counters of finished results, and the time up to which they are counted."""

from django.db import models


class ResultCount(models.Model):
    """The number of results of a task that ended with a status, since the console was installed."""

    task = models.CharField(max_length=255)
    status = models.CharField(max_length=50)
    count = models.PositiveBigIntegerField(default=0)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["task", "status"], name="tasks_admin_result_count")
        ]

    def __str__(self) -> str:
        return f"{self.task} {self.status}: {self.count}"


class ResultCountCheckpoint(models.Model):
    """The time up to which results are counted: one row."""

    #: Increased with each change: of two concurrent dispatchers, one updates the row.
    version = models.PositiveBigIntegerField(default=0)
    until = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.until}"
