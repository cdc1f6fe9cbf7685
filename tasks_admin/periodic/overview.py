"""The overview of periodic tasks, from beat's rows or the tables of django-celery-beat."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.utils import timezone

from tasks_admin.integrations import broker
from tasks_admin.integrations.broker import ScheduleEntry
from tasks_admin.lib import celery_json
from tasks_admin.models import Beat, PeriodicTask

MAX_TASKS = 500
#: A task is late after this time; beat checks its schedule at least every few minutes.
LATE_AFTER = timedelta(minutes=6)


@dataclass(frozen=True, kw_only=True)
class PeriodicTaskStatus:
    """The state of one periodic task. None: not known."""

    name: str
    task: str
    schedule: str
    last_run_at: datetime | None
    next_run_at: datetime | None
    runs: int
    #: None: the task is declared in the project's settings, and cannot be enabled or disabled.
    enabled: bool | None = None
    #: The call to queue; None: only beat knows it.
    entry: ScheduleEntry | None = None

    @property
    def late(self) -> bool:
        """Whether beat should have queued it some minutes ago."""
        if self.enabled is False or self.next_run_at is None:
            return False
        return timezone.now() - self.next_run_at > LATE_AFTER


@dataclass(frozen=True, kw_only=True)
class Overview:
    """All periodic tasks, and the state of Celery beat."""

    tasks: list[PeriodicTaskStatus]
    #: The last heartbeat of any beat.
    beat_last_seen_at: datetime | None
    beat_online: bool


def overview() -> Overview:
    """Return all known periodic tasks, sorted by name."""
    beats = Beat.objects.order_by("-last_seen_at")
    by_name = {task.name: task for task in _declared() + _stored()}
    return Overview(
        tasks=sorted(by_name.values(), key=lambda task: task.name),
        beat_last_seen_at=beats.values_list("last_seen_at", flat=True).first(),
        beat_online=Beat.objects.online().exists(),
    )


def find(name: str) -> PeriodicTaskStatus | None:
    """Return the periodic task with this name, or None if it is not known."""
    return next((task for task in overview().tasks if task.name == name), None)


def beat_model() -> Any:
    """Return the model PeriodicTask of django-celery-beat, or None if it is not installed."""
    if not apps.is_installed("django_celery_beat"):
        return None
    return apps.get_app_config("django_celery_beat").get_model("PeriodicTask")


def _declared() -> list[PeriodicTaskStatus]:
    """Return the entries that beat has recorded, and those that only the settings declare."""
    entries = broker.schedule_entries()
    rows = {row.name: row for row in PeriodicTask.objects.order_by("name")[:MAX_TASKS]}
    unrecorded = [
        PeriodicTaskStatus(
            name=name,
            task=entry.task,
            schedule="",
            last_run_at=None,
            next_run_at=None,
            runs=0,
            entry=entry,
        )
        for name, entry in entries.items()
        if name not in rows
    ]
    return unrecorded + [
        PeriodicTaskStatus(
            name=row.name,
            task=row.task,
            schedule=row.schedule,
            last_run_at=row.last_run_at,
            next_run_at=row.next_run_at,
            runs=row.runs,
            entry=entries.get(row.name),
        )
        for row in rows.values()
    ]


def _stored() -> list[PeriodicTaskStatus]:
    """Return the periodic tasks in the tables of django-celery-beat."""
    model = beat_model()
    if model is None:
        return []
    related = ("interval", "crontab", "solar", "clocked")
    rows = model.objects.select_related(*related).order_by("name")
    return [_from_row(row) for row in rows[:MAX_TASKS]]


def _from_row(row: Any) -> PeriodicTaskStatus:
    args, kwargs = _decode(row.args), _decode(row.kwargs)
    readable = isinstance(args, list) and isinstance(kwargs, dict)
    return PeriodicTaskStatus(
        name=row.name,
        task=row.task,
        schedule=str(row.scheduler),
        last_run_at=row.last_run_at,
        next_run_at=_next_run(row) if row.enabled else None,
        runs=row.total_run_count,
        enabled=row.enabled,
        entry=ScheduleEntry(task=row.task, args=args, kwargs=kwargs, queue=row.queue or "")
        if readable
        else None,
    )


def _decode(text: str) -> Any:
    try:
        return celery_json.decode(text)
    except celery_json.DECODING_ERRORS:
        return None


def _next_run(row: Any) -> datetime | None:
    """Return the next run, computed from the last run or the last change."""
    since = row.last_run_at or row.date_changed
    try:
        remaining: timedelta = row.schedule.remaining_estimate(since)
    except Exception:  # a solar schedule may have no next event; each library raises its own error
        return None
    return timezone.now() + remaining
