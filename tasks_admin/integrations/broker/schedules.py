"""Schedules: the periodic tasks that the project declares to Celery beat."""

from dataclasses import dataclass, field
from typing import Any

from celery import current_app

from tasks_admin.integrations.broker.registry import registered_tasks


@dataclass(frozen=True, kw_only=True)
class ScheduleEntry:
    """What beat publishes at the times of a schedule entry."""

    task: str
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    queue: str = ""


def schedule_entries() -> dict[str, ScheduleEntry]:
    """The entries of `beat_schedule` by name, except those whose arguments beat computes."""
    registered_tasks()  # tasks may add entries when they are imported
    schedule: Any = current_app.conf.beat_schedule or {}
    return {name: entry for name, raw in schedule.items() if (entry := _entry(raw)) is not None}


def _entry(raw: Any) -> ScheduleEntry | None:
    args, kwargs = raw.get("args") or [], raw.get("kwargs") or {}
    if not isinstance(args, (list, tuple)) or not isinstance(kwargs, dict):
        return None
    queue = (raw.get("options") or {}).get("queue") or ""
    name = str(getattr(queue, "name", queue))
    return ScheduleEntry(
        task=str(raw.get("task") or ""), args=list(args), kwargs=kwargs, queue=name
    )
