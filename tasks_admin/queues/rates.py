"""The rates of queues: incoming and outgoing messages per minute."""

from collections.abc import Iterable
from dataclasses import dataclass

from tasks_admin.models import QueueMinute

#: Minutes that a rate covers.
MINUTES = 6
#: Observations closer together than this, in minutes, yield no rate.
MIN_MINUTES = 0.5


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Messages per minute. None: not known, because too few minutes are stored."""

    incoming: float | None = None
    outgoing: float | None = None


def rates(names: Iterable[str]) -> dict[str, Rates]:
    """Return the rates of these queues over the last minutes; one query.

    The outgoing rate counts the tasks that managed workers took. The incoming rate follows from it
    and from the change of the waiting messages.
    """
    rows = QueueMinute.objects.filter(queue__in=list(names)).within(MINUTES).order_by("minute")
    by_name: dict[str, list[QueueMinute]] = {}
    for row in rows:
        by_name.setdefault(row.queue, []).append(row)
    return {name: _rates(found) for name, found in by_name.items()}


def _rates(rows: list[QueueMinute]) -> Rates:
    observed = [row for row in rows if row.waiting is not None and row.last_seen_at is not None]
    if len(observed) < 2:
        return Rates()
    first, last = observed[0], observed[-1]
    minutes = (last.last_seen_at - first.last_seen_at).total_seconds() / 60  # type: ignore[operator]
    if minutes < MIN_MINUTES:
        return Rates()
    taken = sum(row.taken for row in rows if row.minute > first.minute)
    growth = (last.waiting or 0) - (first.waiting or 0)
    return Rates(incoming=max(taken + growth, 0) / minutes, outgoing=taken / minutes)
