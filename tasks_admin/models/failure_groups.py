"""Failure groups: failures with the same cause, counted when they are stored."""

from datetime import timedelta
from typing import Self

from django.db import models
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.translation import gettext_lazy as _


class FailureGroupState(models.TextChoices):
    """The state that staff set; a new failure reopens a resolved group."""

    OPEN = "open", _("open")
    RESOLVED = "resolved", _("resolved")
    MUTED = "muted", _("muted")


class FailureGroupQuerySet(models.QuerySet["FailureGroup"]):
    """Failure groups."""

    def failing(self) -> Self:
        """The open groups with a failure in the last 24 hours, the latest first."""
        recently = Now() - timedelta(hours=24)
        return self.filter(state=FailureGroupState.OPEN, last_at__gt=recently).order_by(
            "-last_at", "-pk"
        )


class FailureGroup(models.Model):
    """Failures of one task with the same exception class, location and normalized message."""

    #: The fingerprint: a digest of task, exception, location and message.
    digest = models.CharField(max_length=64, unique=True)
    task = models.CharField(_("task"), max_length=255)
    exception = models.CharField(_("exception"), max_length=255)
    #: The innermost function of the project's own code, as `module:function`.
    location = models.CharField(_("location"), max_length=255, blank=True)
    #: The normalized message: without the parts that differ between failures.
    message = models.CharField(_("message"), max_length=500, blank=True)
    state = models.CharField(
        _("state"), max_length=10, choices=FailureGroupState.choices, default=FailureGroupState.OPEN
    )
    count = models.PositiveBigIntegerField(_("failures"), default=0)
    first_at = models.DateTimeField(_("first"))
    last_at = models.DateTimeField(_("last"))
    #: When it failed again after staff had resolved it.
    reopened_at = models.DateTimeField(null=True)

    objects = FailureGroupQuerySet.as_manager()

    class Meta:
        verbose_name = _("failure group")
        verbose_name_plural = _("failure groups")
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["state", "-last_at", "-id"], name="tasks_admin_group_page"),
            models.Index(fields=["task", "exception"], name="tasks_admin_group_task"),
        ]

    def __str__(self) -> str:
        exception = self.exception.rpartition(".")[2]
        return f"{exception} ({self.task or _('unknown task')})"

    def get_absolute_url(self) -> str:
        """The URL of the group's page."""
        return reverse("admin:tasks_admin_failuregroup_change", args=[self.pk])


class FailureGroupHour(models.Model):
    """The number of failures of a group in one hour."""

    group = models.ForeignKey(
        FailureGroup, models.CASCADE, related_name="hours", db_index=False, db_constraint=False
    )
    hour = models.DateTimeField(db_index=True)
    count = models.PositiveIntegerField(default=0)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["group", "hour"], name="tasks_admin_group_hour")
        ]

    def __str__(self) -> str:
        return f"{self.group_id} {self.hour:%Y-%m-%d %H}"


class Failure(models.Model):
    """A failed result and its group. No foreign key to the result: Celery deletes results."""

    task_id = models.CharField(max_length=255)
    # A constraint is checked when the result is committed: an error would lose the result.
    group = models.ForeignKey(
        FailureGroup, models.CASCADE, related_name="failures", db_index=False, db_constraint=False
    )
    failed_at = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()
        constraints = [  # `unique=True` would add an index for LIKE
            models.UniqueConstraint(fields=["task_id"], name="tasks_admin_failure_task")
        ]
        indexes = [models.Index(fields=["group", "id"], name="tasks_admin_failure_group")]

    def __str__(self) -> str:
        return self.task_id
