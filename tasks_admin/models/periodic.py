"""Celery beat and its periodic tasks: the rows that beat writes itself."""

from datetime import timedelta
from typing import Self

from django.contrib.admin.utils import quote
from django.db import models
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from tasks_admin.models.workers import HEARTBEAT_TIMEOUT


class BeatQuerySet(models.QuerySet["Beat"]):
    """Beat processes."""

    def online(self) -> Self:
        """Filter the beats that have a recent heartbeat."""
        return self.filter(last_seen_at__gt=Now() - timedelta(seconds=HEARTBEAT_TIMEOUT))


class Beat(models.Model):
    """A running Celery beat, with its last heartbeat."""

    name = models.CharField(max_length=255, primary_key=True)
    last_seen_at = models.DateTimeField(db_index=True)

    objects = BeatQuerySet.as_manager()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class PeriodicTask(models.Model):
    """An entry of the schedule of Celery beat."""

    name = models.CharField(_("name"), max_length=255, primary_key=True)
    task = models.CharField(_("task"), max_length=255)
    #: The schedule as Celery formats it.
    schedule = models.CharField(_("schedule"), max_length=255)
    #: When beat last queued the task, and will queue it next.
    last_run_at = models.DateTimeField(_("last run"), null=True)
    next_run_at = models.DateTimeField(_("next run"), null=True)
    #: The number of times that beat has queued the task.
    runs = models.PositiveBigIntegerField(_("runs"), default=0)
    last_seen_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = _("periodic task")
        verbose_name_plural = _("periodic tasks")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """Return the URL of its row in the list: a periodic task has no page of its own."""
        return reverse("admin:tasks_admin_periodictask_changelist") + f"#{quote(self.name)}"
