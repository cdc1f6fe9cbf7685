"""What the console's templates need: `{% load console %}`."""

import time
from datetime import timedelta

from django import template

from tasks_admin.lib import durations
from tasks_admin.workers import Seen

register = template.Library()


@register.filter
def duration(value: timedelta | None) -> str:
    """How long, for people."""
    return durations.format_duration(value)


@register.filter
def running_for(started: object, seen: Seen) -> str:
    """How long something runs that began then (seconds since 1970, by the worker's clock).

    Of a worker that does not answer: how long it had run at the last sign of life.
    """
    if not isinstance(started, (int, float)):
        return ""
    until = time.time() if seen.answered or not seen.row else seen.row.last_seen_at.timestamp()
    return durations.format_duration(timedelta(seconds=max(until - started, 0.0)))
