"""How long something took, for people."""

from datetime import timedelta

from django.utils.translation import gettext as _


def format_duration(duration: timedelta | None) -> str:
    """Two figures are enough: "24 ms", "3.2 s", "5 min 3 s", "3 d 1 h"; "" for none."""
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
    return " ".join(words % {"n": number} for number, words in parts[:2] if number)
