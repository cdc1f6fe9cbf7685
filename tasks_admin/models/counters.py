"""Tallies: how many results ended in which way, ever since the console counts."""

from django.db import models


class ResultCount(models.Model):
    """How many results of a task ended so."""

    task = models.CharField(max_length=255)
    status = models.CharField(max_length=50)
    count = models.PositiveBigIntegerField(default=0)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["task", "status"], name="tasks_admin_tally_once")
        ]

    def __str__(self) -> str:
        return f"{self.task} {self.status}: {self.count}"


class ResultCountCheckpoint(models.Model):
    """Up to when results are counted: one row. Its round is raised by who goes on."""

    round = models.PositiveBigIntegerField(default=0)
    until = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.until}"
