"""What the console's templates need: `{% load console %}`."""

import time
from datetime import timedelta

from django import template

from tasks_admin import durations

register = template.Library()


@register.filter
def duration(value: timedelta | None) -> str:
    """How long, for people."""
    return durations.spoken(value)


@register.filter
def running_for(started: object) -> str:
    """How long something runs that began then (seconds since 1970, by a worker's clock)."""
    if not isinstance(started, (int, float)):
        return ""
    return durations.spoken(timedelta(seconds=max(time.time() - started, 0.0)))
