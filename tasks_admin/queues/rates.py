"""Rates: how many messages come into a queue and leave it, a minute."""

from collections.abc import Iterable
from dataclasses import dataclass

from tasks_admin.models import QueueMinute

#: Minutes that a rate is taken from.
MINUTES = 6


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Messages a minute. None is not known: too little was noted."""

    into: float | None = None
    out: float | None = None


def rates(names: Iterable[str]) -> dict[str, Rates]:
    """The rates of these queues in the last minutes; one query.

    Out is what workers with the console took. In follows from that and from what waits.
    """
    rows = QueueMinute.objects.filter(queue__in=list(names)).within(MINUTES).order_by("minute")
    by_name: dict[str, list[QueueMinute]] = {}
    for row in rows:
        by_name.setdefault(row.queue, []).append(row)
    return {name: _rates(found) for name, found in by_name.items()}


def _rates(rows: list[QueueMinute]) -> Rates:
    looked = [row for row in rows if row.waiting is not None and row.last_seen_at is not None]
    if len(looked) < 2:
        return Rates()
    first, last = looked[0], looked[-1]
    minutes = (last.last_seen_at - first.last_seen_at).total_seconds() / 60  # type: ignore[operator]
    if minutes < 0.5:
        return Rates()
    taken = sum(row.taken for row in rows if row.minute > first.minute)
    more = (last.waiting or 0) - (first.waiting or 0)
    return Rates(into=max(taken + more, 0) / minutes, out=taken / minutes)
