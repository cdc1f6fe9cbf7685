"""What can be told of periodic tasks: beat's rows, or the tables of django-celery-beat."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.utils import timezone

from tasks_admin.integrations import broker
from tasks_admin.integrations.broker import ScheduleEntry
from tasks_admin.lib import celery_json
from tasks_admin.models import Beat, PeriodicTask

#: Periodic tasks that are told of.
MOST = 500
#: What is later than this is late: beat looks at its schedule every few minutes at least.
LATE = timedelta(minutes=6)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One periodic task. None is not known."""

    name: str
    task: str
    schedule: str
    last_at: datetime | None
    next_at: datetime | None
    runs: int
    #: None: it can't be enabled or disabled, because it stands in the project's settings.
    enabled: bool | None = None
    #: What would be queued; None: beat alone knows.
    entry: ScheduleEntry | None = None

    @property
    def late(self) -> bool:
        """Whether it should have been queued a while ago."""
        on = self.enabled is not False
        return on and self.next_at is not None and timezone.now() - self.next_at > LATE


@dataclass(frozen=True, kw_only=True)
class Overview:
    """All periodic tasks, and when a beat last gave a sign of life."""

    tasks: list[Seen]
    beat_at: datetime | None
    #: Whether a beat is believed to be at work.
    beating: bool


def overview() -> Overview:
    """All that is known, sorted by name."""
    beats = Beat.objects.order_by("-last_seen_at")
    seen = {one.name: one for one in _declared() + _stored()}
    return Overview(
        tasks=sorted(seen.values(), key=lambda one: one.name),
        beat_at=beats.values_list("last_seen_at", flat=True).first(),
        beating=Beat.objects.online().exists(),
    )


def one(name: str) -> Seen | None:
    """The periodic task of this name."""
    return next((seen for seen in overview().tasks if seen.name == name), None)


def table() -> Any:
    """django-celery-beat's model of a periodic task; None where it is not installed."""
    if not apps.is_installed("django_celery_beat"):
        return None
    return apps.get_app_config("django_celery_beat").get_model("PeriodicTask")


def _declared() -> list[Seen]:
    """What a beat told of its schedule; and what is declared and no beat has told of yet."""
    entries = broker.schedule_entries()
    rows = {row.name: row for row in PeriodicTask.objects.order_by("name")[:MOST]}
    unheard = [
        Seen(name=name, task=entry.task, schedule="", last_at=None, next_at=None, runs=0,
             entry=entry)
        for name, entry in entries.items() if name not in rows
    ]  # fmt: skip
    return unheard + [
        Seen(
            name=row.name,
            task=row.task,
            schedule=row.schedule,
            last_at=row.last_at,
            next_at=row.next_at,
            runs=row.runs,
            entry=entries.get(row.name),
        )
        for row in rows.values()
    ]


def _stored() -> list[Seen]:
    """What django-celery-beat has in its tables."""
    model = table()
    if model is None:
        return []
    related = ("interval", "crontab", "solar", "clocked")
    return [_of(row) for row in model.objects.select_related(*related).order_by("name")[:MOST]]


def _of(row: Any) -> Seen:
    args, kwargs = _read(row.args), _read(row.kwargs)
    readable = isinstance(args, list) and isinstance(kwargs, dict)
    return Seen(
        name=row.name,
        task=row.task,
        schedule=str(row.scheduler),
        last_at=row.last_run_at,
        next_at=_next(row) if row.enabled else None,
        runs=row.total_run_count,
        enabled=row.enabled,
        entry=ScheduleEntry(task=row.task, args=args, kwargs=kwargs, queue=row.queue or "")
        if readable
        else None,
    )


def _read(text: str) -> Any:
    try:
        return celery_json.decode(text)
    except celery_json.DECODING_ERRORS:
        return None


def _next(row: Any) -> datetime | None:
    """When it is due, reckoned from when it last was, or was changed."""
    since = row.last_run_at or row.date_changed
    try:
        left: timedelta = row.schedule.remaining_estimate(since)
    except Exception:  # a schedule of the sun may have no answer, and says so in many ways
        return None
    return timezone.now() + left
