"""Queues: whether staff paused them, their history by minute, and purged messages."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib.admin.utils import quote
from django.db import models
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from tasks_admin.models.operations import Operation

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


class QueueQuerySet(models.QuerySet["Queue"]):
    """Queues."""

    def set_paused(self, name: str, paused: bool, *, revision: int) -> None:
        """Record whether the queue is paused; of two concurrent changes the later wins."""
        self.bulk_create([Queue(name=name)], ignore_conflicts=True)
        older = self.filter(name=name, revision__lt=revision)
        older.update(paused_at=Now() if paused else None, revision=revision)

    def paused_names(self) -> tuple[list[str], int]:
        """Return the names of the paused queues, and the latest revision of all queues."""
        rows = list(self.exclude(revision=0).values_list("name", "paused_at", "revision"))
        paused = sorted(name for name, paused_at, _revision in rows if paused_at)
        return paused, max((revision for _name, _at, revision in rows), default=0)


class Queue(models.Model):
    """A queue that staff have paused or resumed."""

    name = models.CharField(_("name"), max_length=255, primary_key=True)
    paused_at = models.DateTimeField(_("paused"), null=True)
    #: The primary key of the operation that paused or resumed it last.
    revision = models.BigIntegerField(default=0)

    objects = QueueQuerySet.as_manager()

    class Meta:
        verbose_name = _("queue")
        verbose_name_plural = _("queues")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """Return the URL of the queue's page."""
        return queue_url(self.name)


def queue_url(name: str) -> str:
    """Return the URL of the page of a queue, whose name may contain any character."""
    return reverse("admin:tasks_admin_queue_change", args=[quote(name)])


class QueueMinuteQuerySet(models.QuerySet["QueueMinute"]):
    """The history of queues, by minute."""

    def record(self, moment: "datetime", waiting: dict[str, int], ages: dict[str, float]) -> None:
        """Store the number of waiting messages of each queue, and the age of the oldest."""
        for name, count in waiting.items():
            values = {"waiting": count, "oldest_age": ages.get(name), "last_seen_at": moment}
            self._put(name, moment, values)

    def add(self, moment: "datetime", taken: dict[str, int]) -> None:
        """Add the number of messages that workers have taken from each queue."""
        for name, count in taken.items():
            self._put(name, moment, {"taken": models.F("taken") + count})

    def within(self, minutes: int) -> "QueueMinuteQuerySet":
        """Filter the last so many minutes."""
        return self.filter(minute__gt=Now() - timedelta(minutes=minutes))

    def _put(self, name: str, moment: "datetime", values: dict[str, Any]) -> None:
        minute = moment.replace(second=0, microsecond=0)
        row = self.filter(queue=name, minute=minute)
        if not row.update(**values):
            self.bulk_create([QueueMinute(queue=name, minute=minute)], ignore_conflicts=True)
            row.update(**values)


class QueueMinute(models.Model):
    """The state of a queue in one minute."""

    queue = models.CharField(max_length=255)
    minute = models.DateTimeField()
    #: Waiting messages at the last observation in this minute; None: not observed.
    waiting = models.PositiveBigIntegerField(null=True)
    #: The age of the next message in seconds, at most; None: not known.
    oldest_age = models.FloatField(null=True)
    last_seen_at = models.DateTimeField(null=True)
    #: Messages that managed workers have taken from it.
    taken = models.PositiveBigIntegerField(default=0)

    objects = QueueMinuteQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["queue", "minute"], name="tasks_admin_queue_minute")
        ]
        indexes = [models.Index(fields=["minute"], name="tasks_admin_minute_old")]

    def __str__(self) -> str:
        return f"{self.queue} {self.minute:%H:%M}"


class QuarantinedMessageQuerySet(models.QuerySet["QuarantinedMessage"]):
    """Purged messages."""

    def task_ids_among(self, task_ids: "Iterable[str]") -> set[str]:
        """Return the ones of these task ids whose message is in quarantine."""
        return set(self.filter(task_id__in=list(task_ids)).values_list("task_id", flat=True))


class QuarantinedMessage(models.Model):
    """A purged message, unchanged. The order of the keys is the order in the queue."""

    operation = models.ForeignKey(
        Operation, models.CASCADE, related_name="quarantined", db_index=False, db_constraint=False
    )
    queue = models.CharField(max_length=255)
    priority = models.SmallIntegerField(default=0)
    task_id = models.CharField(max_length=255, blank=True)
    task = models.CharField(max_length=255, blank=True)
    payload = models.BinaryField()
    #: SHA-256 of the payload: a message that is read again after a crash is stored once.
    digest = models.CharField(max_length=64)
    quarantined_at = models.DateTimeField(db_default=Now())

    objects = QuarantinedMessageQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["operation", "digest"], name="tasks_admin_quarantined_once"
            )
        ]
        indexes = [
            models.Index(fields=["operation", "id"], name="tasks_admin_quarantined_in"),
            models.Index(fields=["task_id"], name="tasks_admin_quarantined_id"),
            models.Index(fields=["quarantined_at"], name="tasks_admin_quarantined_at"),
        ]

    def __str__(self) -> str:
        return f"{self.queue}: {self.task} {self.task_id}"
