"""What can be told of the queues: by the broker, by the workers, and by what was noted before."""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.utils import timezone

from tasks_admin.integrations import broker
from tasks_admin.integrations.broker import QueueDepth
from tasks_admin.lib.errors import ConsoleError
from tasks_admin.models import Queue, QueueMinute, Result, Worker
from tasks_admin.models.queues import queue_url
from tasks_admin.models.result_states import ResultState
from tasks_admin.queues.rates import Rates, rates
from tasks_admin.workers import WorkerStatus as Consumer
from tasks_admin.workers import overview as workers

#: Seconds for which what the broker said is shown to everybody who asks.
FRESH = 2.0
#: Queues that are told of, and results that are looked through for the oldest of a queue.
MOST, SEARCHED = 200, 500
#: Minutes after which what was last known of a queue is no longer told.
KNOWN_FOR = 24 * 60

_lock = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Look:
    """What the broker said at one moment (`time.monotonic`), or why it said nothing."""

    taken_at: float
    depths: dict[str, QueueDepth] = field(default_factory=dict)
    #: Seconds that the next message has waited: of queues where that is known.
    ages: dict[str, float] = field(default_factory=dict)
    unacknowledged: int | None = None
    trouble: str = ""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One queue. None is not known."""

    name: str
    waiting: int | None
    #: How old `waiting` is, when the broker does not answer.
    age: timedelta | None
    #: For how long the next message has waited; where `at_most`, it may be less.
    oldest: timedelta | None
    at_most: bool
    #: The workers that consume it, and those that did when they fell silent.
    consumers: list[Consumer]
    silent: list[Consumer]
    #: How many the broker counts.
    counted: int | None
    #: Tasks of it that the answering workers have: running, reserved, or waiting for their time.
    held: int
    rates: Rates
    paused_at: datetime | None
    #: Whether the workers answered.
    heard: bool

    @property
    def url(self) -> str:
        """Its page."""
        return queue_url(self.name)

    @property
    def unconsumed(self) -> bool:
        """Whether something may wait, and nobody is known to consume it."""
        return self.heard and not (self.consumers or self.counted or self.paused_at)

    @property
    def ignoring_pause(self) -> list[Consumer]:
        """Who consumes it although it is paused."""
        return self.consumers if self.paused_at else []

    @property
    def empty_in(self) -> timedelta | None:
        """When nothing will wait any more, if it goes on as in the last minutes."""
        if not self.waiting or self.rates.into is None or self.rates.out is None:
            return None
        faster = self.rates.out - self.rates.into
        return timedelta(minutes=self.waiting / faster) if faster > 0 else None


@dataclass(frozen=True, kw_only=True)
class Overview:
    """All queues, and why nothing could be had of the broker."""

    queues: list[Seen]
    #: Messages of all queues that the broker delivered and that were not acknowledged.
    unacknowledged: int | None = None
    age: float = 0.0
    trouble: str = ""


_last: Look | None = None


def names() -> list[str]:
    """The queues of the project, and others that workers consume or staff decided about."""
    known = set(broker.declared_queues()) | set(Queue.objects.values_list("name", flat=True)[:MOST])
    for last_snapshot in Worker.objects.may_hold_tasks().values_list("last_snapshot", flat=True)[
        :MOST
    ]:
        for part in ("queues", "paused_queues"):
            known |= {str(name) for name in last_snapshot.get(part) or () if str(name)}
    return sorted(known)[:MOST]


def overview() -> Overview:
    """All queues, at this moment. Raises nothing: what is not known is said to be so."""
    known = workers()
    every = {*names(), *(name for seen in known.workers for name in _consumed(seen))}
    wanted = sorted(every)[:MOST]
    # Whoever could not be asked a moment ago is not asked again: nobody waits twice.
    gone = known.error and Look(taken_at=time.monotonic(), trouble=known.error)
    look = gone or _look(wanted)
    heard = not known.error and (bool(known.replied) or not look.trouble)
    paused = dict(Queue.objects.filter(paused_at__isnull=False).values_list("name", "paused_at"))
    past = _past(wanted) if look.trouble else {}
    told = rates(wanted)
    queues = []
    for name in wanted:
        taking = [seen for seen in known.workers if name in _consumed(seen)]
        depth, before = look.depths.get(name), past.get(name)
        last = before.last_seen_at if before is not None else None
        oldest = look.ages.get(name)
        queues.append(
            Seen(
                name=name,
                waiting=depth.waiting if depth else before.waiting if before else None,
                age=timezone.now() - last if depth is None and last else None,
                oldest=timedelta(seconds=oldest) if oldest is not None else None,
                at_most=depth is not None and depth.next is None,
                consumers=[seen for seen in taking if seen.is_alive],
                silent=[seen for seen in taking if not seen.is_alive],
                counted=depth.consumers if depth else None,
                held=sum(seen.view.held.get(name, 0) for seen in known.workers if seen.replied),
                rates=told.get(name, Rates()),
                paused_at=paused.get(name),
                heard=heard,
            )
        )
    return Overview(
        queues=queues,
        unacknowledged=look.unacknowledged,
        age=time.monotonic() - look.taken_at,
        trouble=look.trouble,
    )


def one(name: str) -> tuple[Seen | None, Overview]:
    """The queue of this name, if anything is known of it, and what else there is."""
    known = overview()
    return next((seen for seen in known.queues if seen.name == name), None), known


def record_minute() -> None:
    """Store how the queues are, for rates and history; nothing while the broker is away."""
    look = _take(names())
    waiting = {name: depth.waiting for name, depth in look.depths.items()}
    QueueMinute.objects.record(timezone.now(), waiting, look.ages)


def forget() -> None:
    """Let the next one who looks ask anew: something was changed."""
    global _last
    _last = None


def _look(wanted: list[str]) -> Look:
    """Ask the broker; one question at a time per process, kept for two seconds."""
    global _last
    with _lock:
        last = _last
        stale = last is None or time.monotonic() - last.taken_at > FRESH
        if last is None or stale or not (last.trouble or last.depths.keys() >= set(wanted)):
            _last = last = _take(wanted)
    return last


def _take(wanted: list[str]) -> Look:
    try:
        told = broker.depths(wanted)
    except ConsoleError as error:
        return Look(taken_at=time.monotonic(), trouble=str(error))
    return Look(
        taken_at=time.monotonic(),
        depths=told.queues,
        ages=_ages(told.queues),
        unacknowledged=told.unacknowledged,
    )


def _ages(depths: dict[str, QueueDepth]) -> dict[str, float]:
    """How long the next message of each queue has waited, by the rows made when it was queued."""
    heads = {depth.next.task_id: name for name, depth in depths.items() if depth.next}
    rows = Result.objects.filter(task_id__in=[task_id for task_id in heads if task_id])
    since = {
        heads[task_id]: moment for task_id, moment in rows.values_list("task_id", "date_created")
    }
    unseen = {name for name, depth in depths.items() if depth.waiting and not depth.next}
    since |= _oldest(unseen) if unseen else {}
    now = timezone.now()
    return {name: max((now - moment).total_seconds(), 0) for name, moment in since.items()}


def _oldest(unseen: Iterable[str]) -> dict[str, datetime]:
    """When the oldest task of each queue was queued that is not known to have begun.

    What waits in the queue is not older. Some may have been taken from it: that is not stored.
    """
    found: dict[str, datetime] = {}
    wanted = set(unseen)
    rows = (
        Result.objects.filter(status=ResultState.PENDING)
        .only("meta", "date_created")
        .order_by("pk")
    )
    for row in rows[:SEARCHED]:
        if row.queue in wanted:
            found.setdefault(row.queue, row.date_created)
    return found


def _past(wanted: list[str]) -> dict[str, QueueMinute]:
    """What was last noted of each queue."""
    rows = QueueMinute.objects.filter(waiting__isnull=False).within(KNOWN_FOR)
    found = {}
    for name in wanted:
        if row := rows.filter(queue=name).order_by("-minute").first():
            found[name] = row
    return found


def _consumed(seen: Consumer) -> list[str]:
    """The queues that a worker consumes, or consumed when it was last heard of."""
    return [] if seen.state == "stopped" else seen.view.queues
