"""The overview of queues, from the broker, the workers, and the stored history."""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.utils import timezone

from tasks_admin import workers
from tasks_admin.integrations import broker
from tasks_admin.integrations.broker import QueueDepth
from tasks_admin.lib.errors import ConsoleError
from tasks_admin.models import Queue, QueueMinute, Result, Worker
from tasks_admin.models.queues import queue_url
from tasks_admin.models.result_states import ResultState
from tasks_admin.queues.rates import Rates, rates
from tasks_admin.workers import WorkerStatus

#: Seconds for which all requests of this process share one snapshot of the broker.
CACHE_TTL = 2.0
MAX_QUEUES = 200
#: Results that are searched for the oldest task of a queue.
MAX_SEARCHED_RESULTS = 500
#: Minutes for which the last known values of a queue are shown.
MAX_HISTORY_AGE = 24 * 60

_lock = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class QueueSnapshot:
    """The broker's reply at one moment (`time.monotonic`), or its error."""

    taken_at: float
    depths: dict[str, QueueDepth] = field(default_factory=dict)
    #: The age of the next message in seconds, where it is known.
    ages: dict[str, float] = field(default_factory=dict)
    unacknowledged: int | None = None
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class QueueStatus:
    """The state of one queue. None: not known."""

    name: str
    waiting: int | None
    #: The age of `waiting` when the broker is unreachable.
    age: timedelta | None
    #: The age of the next message; an upper bound if `oldest_is_bound`.
    oldest: timedelta | None
    oldest_is_bound: bool
    #: The online workers that consume it.
    consumers: list[WorkerStatus]
    #: The workers that consumed it at their last heartbeat, and no longer respond.
    unresponsive_consumers: list[WorkerStatus]
    #: The number of consumers that the broker reports.
    broker_consumers: int | None
    #: Its tasks in the workers that replied: running, reserved, or waiting for their ETA.
    in_flight: int
    rates: Rates
    paused_at: datetime | None
    #: Whether the workers replied, so that `consumers` is complete.
    consumers_known: bool

    @property
    def url(self) -> str:
        """The URL of the queue's page."""
        return queue_url(self.name)

    @property
    def unconsumed(self) -> bool:
        """Whether the queue certainly has no consumer, and is not paused."""
        return self.consumers_known and not (
            self.consumers or self.broker_consumers or self.paused_at
        )

    @property
    def ignoring_pause(self) -> list[WorkerStatus]:
        """The workers that consume the queue although it is paused."""
        return self.consumers if self.paused_at else []

    @property
    def drains_in(self) -> timedelta | None:
        """The time until the queue is empty at the current rates; None: unknown, or never."""
        if not self.waiting or self.rates.incoming is None or self.rates.outgoing is None:
            return None
        net = self.rates.outgoing - self.rates.incoming
        return timedelta(minutes=self.waiting / net) if net > 0 else None


@dataclass(frozen=True, kw_only=True)
class Overview:
    """All queues, and the broker's error, if any."""

    queues: list[QueueStatus]
    #: Messages of all queues that are delivered and not acknowledged.
    unacknowledged: int | None = None
    error: str = ""


_last: QueueSnapshot | None = None


def names() -> list[str]:
    """Return the project's queues, and others that workers consume or staff have paused."""
    known = set(broker.declared_queues()) | set(
        Queue.objects.values_list("name", flat=True)[:MAX_QUEUES]
    )
    snapshots = Worker.objects.may_hold_tasks().values_list("last_snapshot", flat=True)
    for snapshot in snapshots[:MAX_QUEUES]:
        for part in ("queues", "paused_queues"):
            known |= {str(name) for name in snapshot.get(part) or () if str(name)}
    return sorted(known)[:MAX_QUEUES]


def overview() -> Overview:
    """Return the state of all queues. Raises nothing: values that are not known are None."""
    known = workers.overview()
    consumed = {name for worker in known.workers for name in _consumed(worker)}
    wanted = sorted({*names(), *consumed})[:MAX_QUEUES]
    if known.error:  # the broker has just timed out for the workers: do not wait for it again
        snapshot = QueueSnapshot(taken_at=time.monotonic(), error=known.error)
    else:
        snapshot = _snapshot(wanted)
    consumers_known = not known.error and (bool(known.replied) or not snapshot.error)
    paused = dict(Queue.objects.filter(paused_at__isnull=False).values_list("name", "paused_at"))
    last_minutes = _last_minutes(wanted) if snapshot.error else {}
    known_rates = rates(wanted)
    queues = []
    for name in wanted:
        taking = [worker for worker in known.workers if name in _consumed(worker)]
        depth, past = snapshot.depths.get(name), last_minutes.get(name)
        last_seen_at = past.last_seen_at if past is not None else None
        oldest = snapshot.ages.get(name)
        queues.append(
            QueueStatus(
                name=name,
                waiting=depth.waiting if depth else past.waiting if past else None,
                age=timezone.now() - last_seen_at if depth is None and last_seen_at else None,
                oldest=timedelta(seconds=oldest) if oldest is not None else None,
                oldest_is_bound=depth is not None and depth.next is None,
                consumers=[worker for worker in taking if worker.is_alive],
                unresponsive_consumers=[worker for worker in taking if not worker.is_alive],
                broker_consumers=depth.consumers if depth else None,
                in_flight=sum(
                    worker.view.held.get(name, 0) for worker in known.workers if worker.replied
                ),
                rates=known_rates.get(name, Rates()),
                paused_at=paused.get(name),
                consumers_known=consumers_known,
            )
        )
    return Overview(queues=queues, unacknowledged=snapshot.unacknowledged, error=snapshot.error)


def find(name: str) -> tuple[QueueStatus | None, Overview]:
    """Return the queue with this name, or None if it is not known, and the whole overview."""
    known = overview()
    return next((queue for queue in known.queues if queue.name == name), None), known


def record_minute() -> None:
    """Store the state of the queues for rates and history; nothing if the broker is unreachable."""
    snapshot = _take_snapshot(names())
    waiting = {name: depth.waiting for name, depth in snapshot.depths.items()}
    QueueMinute.objects.record(timezone.now(), waiting, snapshot.ages)


def clear_cache() -> None:
    """Drop the snapshot after a change, so that the next request takes a new one."""
    global _last
    _last = None


def _snapshot(wanted: list[str]) -> QueueSnapshot:
    """Return the shared snapshot, or take a new one; one thread of a process at a time."""
    global _last
    with _lock:
        last = _last
        expired = last is None or time.monotonic() - last.taken_at > CACHE_TTL
        if last is None or expired or not (last.error or last.depths.keys() >= set(wanted)):
            _last = last = _take_snapshot(wanted)
    return last


def _take_snapshot(wanted: list[str]) -> QueueSnapshot:
    try:
        depths = broker.depths(wanted)
    except ConsoleError as error:
        return QueueSnapshot(taken_at=time.monotonic(), error=str(error))
    return QueueSnapshot(
        taken_at=time.monotonic(),
        depths=depths.queues,
        ages=_ages(depths.queues),
        unacknowledged=depths.unacknowledged,
    )


def _ages(depths: dict[str, QueueDepth]) -> dict[str, float]:
    """Return the age of the next message of each queue, by the row of its result."""
    heads = {depth.next.task_id: name for name, depth in depths.items() if depth.next}
    rows = Result.objects.filter(task_id__in=[task_id for task_id in heads if task_id])
    since = {
        heads[task_id]: moment for task_id, moment in rows.values_list("task_id", "date_created")
    }
    unpeeked = {name for name, depth in depths.items() if depth.waiting and not depth.next}
    since |= _oldest_pending(unpeeked) if unpeeked else {}
    now = timezone.now()
    return {name: max((now - moment).total_seconds(), 0) for name, moment in since.items()}


def _oldest_pending(wanted: Iterable[str]) -> dict[str, datetime]:
    """Return when the oldest pending task of each queue was queued.

    No waiting message is older. A worker may have reserved the task already: that is not stored.
    """
    found: dict[str, datetime] = {}
    names = set(wanted)
    pending = Result.objects.filter(status=ResultState.PENDING)
    for row in pending.only("meta", "date_created").order_by("pk")[:MAX_SEARCHED_RESULTS]:
        if row.queue in names:
            found.setdefault(row.queue, row.date_created)
    return found


def _last_minutes(wanted: list[str]) -> dict[str, QueueMinute]:
    """Return the last stored minute of each queue."""
    rows = QueueMinute.objects.filter(waiting__isnull=False).within(MAX_HISTORY_AGE)
    found = {}
    for name in wanted:
        if row := rows.filter(queue=name).order_by("-minute").first():
            found[name] = row
    return found


def _consumed(worker: WorkerStatus) -> list[str]:
    """Return the queues that a worker consumes, or consumed at its last heartbeat."""
    return [] if worker.state == workers.State.STOPPED else worker.view.queues
