"""Workers and dispatchers: the rows that they write themselves, with their last heartbeat."""

from datetime import timedelta
from typing import Self

from django.contrib.admin.utils import quote
from django.db import models
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from tasks_admin.lib.conf import settings

#: Seconds between two heartbeats of a worker.
HEARTBEAT_INTERVAL = 10.0
#: Seconds without a heartbeat after which a worker or a beat counts as offline.
HEARTBEAT_TIMEOUT = 35.0


class Dispatcher(models.Model):
    """A running dispatcher, with its last heartbeat."""

    name = models.CharField(max_length=255, primary_key=True)
    last_seen_at = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class WorkerQuerySet(models.QuerySet["Worker"]):
    """Workers."""

    def online(self) -> Self:
        """Filter the workers that have a recent heartbeat and have not stopped."""
        recently = Now() - timedelta(seconds=HEARTBEAT_TIMEOUT)
        return self.filter(stopped_at=None, last_seen_at__gt=recently)

    def may_hold_tasks(self) -> Self:
        """Filter the workers that may hold tasks: a worker may recover until `LOST_AFTER`."""
        timeout = max(settings.LOST_AFTER, HEARTBEAT_TIMEOUT)
        return self.filter(stopped_at=None, last_seen_at__gt=Now() - timedelta(seconds=timeout))


class Worker(models.Model):
    """A worker, by its node name. The worker writes this row itself."""

    name = models.CharField(_("name"), max_length=255, primary_key=True)
    #: Differs with each start. If two starts write the row in turn, two workers have its name.
    start_id = models.UUIDField()
    started_at = models.DateTimeField(pgettext_lazy("a moment", "started"))
    last_seen_at = models.DateTimeField(_("last seen"), db_index=True)
    stopped_at = models.DateTimeField(_("stopped"), null=True)
    #: When another running worker of this name was last detected.
    duplicate_seen_at = models.DateTimeField(null=True)
    #: Tasks per minute between its last two heartbeats.
    rate = models.FloatField(null=True)
    #: Its snapshot at the last heartbeat; see `integrations.control`.
    last_snapshot = models.JSONField(default=dict)

    objects = WorkerQuerySet.as_manager()

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """Return the URL of the worker's page."""
        return worker_url(self.name)


def worker_url(name: str) -> str:
    """Return the URL of the page of a worker, whose name may contain any character."""
    return reverse("admin:tasks_admin_worker_change", args=[quote(name)])
