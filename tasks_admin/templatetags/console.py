"""Template filters of the console: `{% load console %}`."""

import time
from datetime import timedelta

from django import template

from tasks_admin.lib import durations
from tasks_admin.lib.counts import LowerBound
from tasks_admin.workers import WorkerStatus

register = template.Library()


@register.filter
def duration(value: timedelta | None) -> str:
    """Format a duration."""
    return durations.format_duration(value)


@register.filter
def count(value: int) -> str:
    """Format a count with thousands separators; a bounded one as "10,000+"."""
    return str(value) if isinstance(value, LowerBound) else f"{value:,}"


@register.filter
def running_for(started: object, worker: WorkerStatus) -> str:
    """Format the runtime of a task, from its start (seconds since 1970, by the worker's clock).

    If the worker does not reply, this is the runtime at its last heartbeat.
    """
    if not isinstance(started, (int, float)):
        return ""
    row = None if worker.replied else worker.row
    until = row.last_seen_at.timestamp() if row else time.time()
    return durations.format_duration(timedelta(seconds=max(until - started, 0.0)))
