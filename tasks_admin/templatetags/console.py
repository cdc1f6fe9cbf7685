"""What the console's templates need: `{% load console %}`."""

from datetime import timedelta

from django import template

from tasks_admin import durations

register = template.Library()


@register.filter
def duration(value: timedelta | None) -> str:
    """How long, for people."""
    return durations.spoken(value)
