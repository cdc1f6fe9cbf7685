"""Durations as text."""

from datetime import timedelta

from django.utils.translation import gettext as _


def format_duration(duration: timedelta | None) -> str:
    """A duration with its two largest units: "24 ms", "3.2 s", "5 min 3 s"; "" for None."""
    if duration is None:
        return ""
    seconds = duration.total_seconds()
    if seconds < 1:
        return _("%(n)d ms") % {"n": round(seconds * 1000)}
    if seconds < 10:
        return _("%(n).1f s") % {"n": seconds}
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [
        (days, _("%(n)d d")),
        (hours, _("%(n)d h")),
        (minutes, _("%(n)d min")),
        (rest, _("%(n)d s")),
    ]
    while not parts[0][0]:
        parts.pop(0)
    return " ".join(text % {"n": number} for number, text in parts[:2] if number)
