"""Workers and dispatchers, as far as the database knows them: who gave a sign of life, and when."""

from datetime import timedelta
from typing import Self

from django.contrib.admin.utils import quote
from django.db import models
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from tasks_admin.lib.conf import settings

#: Seconds between two signs of life of a worker, and after how many it is called silent.
EVERY, SILENT = 10.0, 35.0


class Dispatcher(models.Model):
    """A dispatcher that is at work: it says so every few seconds."""

    name = models.CharField(max_length=255, primary_key=True)
    last_seen_at = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class WorkerQuerySet(models.QuerySet["Worker"]):
    """Workers."""

    def online(self) -> Self:
        """Those that gave a sign of life a moment ago and did not say that they stop."""
        return self.filter(stopped_at=None, last_seen_at__gt=Now() - timedelta(seconds=SILENT))

    def may_hold_tasks(self) -> Self:
        """Those that may hold tasks: a silent one may wake up, but not for ever."""
        patience = max(settings.LOST_AFTER, SILENT)
        return self.filter(stopped_at=None, last_seen_at__gt=Now() - timedelta(seconds=patience))


class Worker(models.Model):
    """A worker, by the name that Celery gives it. It writes this row itself."""

    name = models.CharField(_("name"), max_length=255, primary_key=True)
    #: Differs with every start. A row that another one took has two workers of its name.
    start = models.UUIDField()
    started_at = models.DateTimeField(_("started"))
    last_seen_at = models.DateTimeField(_("last sign of life"), db_index=True)
    stopped_at = models.DateTimeField(_("stopped"), null=True)
    #: When another worker of this name was last found to be at work.
    duplicate_seen_at = models.DateTimeField(null=True)
    #: Tasks a minute between its last two signs of life.
    rate = models.FloatField(null=True)
    #: What it told of itself then; see `control.told`.
    last_snapshot = models.JSONField(default=dict)

    objects = WorkerQuerySet.as_manager()

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """The worker's page."""
        return page_of(self.name)


def page_of(name: str) -> str:
    """The page of the worker of this name, whatever stands in it."""
    return reverse("admin:tasks_admin_worker_change", args=[quote(name)])
