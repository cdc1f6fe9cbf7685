"""Heartbeats: each worker writes its own row, from a thread that does not hold up its tasks."""

import logging
import os
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from django.db import DatabaseError, connections, router
from django.db.models.functions import Now
from django.utils import timezone

from tasks_admin.integrations import control
from tasks_admin.lib import masks
from tasks_admin.lib.conf import settings
from tasks_admin.models import Queue, QueueMinute, Worker
from tasks_admin.models.workers import HEARTBEAT_INTERVAL, HEARTBEAT_TIMEOUT
from tasks_admin.workers import commands

logger = logging.getLogger(__name__)
#: Seconds for which a fork waits for a heartbeat that is being written.
FORK_TIMEOUT = 2.0
#: Seconds for which a worker that stops waits for its heartbeat thread.
STOP_TIMEOUT = 5.0
#: Running tasks that a row lists.
MAX_RUNNING = 50
#: The length of the column `name`.
MAX_NAME_LENGTH = 255


class WriteLock:
    """Held while a heartbeat is written.

    A process that is forked in the meantime would inherit the locks of the database driver, which
    no thread of the child ever releases. So a fork waits for the write, for `FORK_TIMEOUT` at most.
    """

    def __init__(self) -> None:
        self.lock, self.acquired_for_fork = threading.Lock(), False

    def before_fork(self) -> None:
        """Wait until no heartbeat is being written."""
        self.acquired_for_fork = self.lock.acquire(timeout=FORK_TIMEOUT)

    def after_fork(self) -> None:
        """Release the lock, in the parent and in the child."""
        if self.acquired_for_fork:
            self.lock.release()


write_lock = WriteLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=write_lock.before_fork,
        after_in_parent=write_lock.after_fork,
        after_in_child=write_lock.after_fork,
    )


class HeartbeatThread:
    """Writes the worker's row every few seconds while it runs, and once more when it stops.

    A thread, so that an unavailable database does not delay the worker's tasks. It closes its
    connection after each write, so that no forked process inherits it.
    """

    def __init__(self, consumer: Any) -> None:
        self.consumer, self.name = consumer, str(consumer.hostname)[:MAX_NAME_LENGTH]
        #: Identifies this start of the worker among all workers of its name.
        self.start_id = uuid.uuid4()
        self.stopping, self.wake = False, threading.Event()
        #: Keys of the commands whose outcome this worker has recorded.
        self.recorded: set[str] = set()
        self.last_snapshot: dict[str, Any] = {}
        self.last_total: tuple[float, int] | None = None
        self.counted: Counter[str] = Counter()
        self.thread = threading.Thread(target=self._run, name="console-heartbeat", daemon=True)

    def start(self) -> None:
        """Write heartbeats from now on, and one at once after each command."""
        control.outcome_listeners.append(self.wake.set)
        self.thread.start()

    def stop(self) -> None:
        """Record that the worker has stopped; without a database it counts as not responding."""
        self.stopping = True
        self.wake.set()
        self.thread.join(timeout=STOP_TIMEOUT)
        self._write(self._record_stop)

    def _run(self) -> None:
        first = True
        while True:
            self._write(partial(self._record, first=first))
            first = False
            self.wake.wait(HEARTBEAT_INTERVAL)
            if self.stopping:
                return
            self.wake.clear()

    def _write(self, write: Callable[[], None]) -> None:
        try:
            with write_lock.lock:
                write()
        except DatabaseError as error:
            logger.warning("The worker's heartbeat was not stored: %s", type(error).__name__)
        except Exception:  # a pool or timer of the project raised: the worker must continue
            logger.exception("The worker's heartbeat was not stored")
        finally:
            connections[router.db_for_write(Worker)].close()

    def _record(self, *, first: bool) -> None:
        last_snapshot, rate = self._snapshot()
        record_heartbeat(
            self.name, self.start_id, last_snapshot=last_snapshot, rate=rate, first=first
        )
        control.paused_queues.apply_soon(self.consumer, *Queue.objects.paused_names())
        self._count_taken()
        self._record_outcomes()

    def _count_taken(self) -> None:
        """Add the tasks taken from each queue since the last write."""
        now = control.taken.copy()
        QueueMinute.objects.add(timezone.now(), dict(now - self.counted))
        self.counted = now

    def _snapshot(self) -> tuple[dict[str, Any], float | None]:
        """Return the worker's snapshot and task rate; the last one while it reconnects."""
        try:
            snapshot = masks.mask(control.worker_snapshot(self.consumer))
        except Exception:  # a consumer that reconnects to its broker has no parts
            return self.last_snapshot, None
        self.last_snapshot = _compact(snapshot)
        return self.last_snapshot, self._rate(snapshot)

    def _record_stop(self) -> None:
        Worker.objects.filter(name=self.name, start_id=self.start_id).update(
            stopped_at=Now(), last_seen_at=Now()
        )
        self._count_taken()
        self._record_outcomes()
        stopped = {key for key, reply in control.outcomes.items() if reply.get("ok") == "stops"}
        for key in stopped:
            commands.record_outcome(key, self.name, {"ok": "stopped"})

    def _record_outcomes(self) -> None:
        """Record the outcomes of commands: the sender may not have received the reply."""
        for key, reply in list(control.outcomes.items()):
            if key not in self.recorded:
                commands.record_outcome(key, self.name, reply)
                self.recorded.add(key)

    def _rate(self, snapshot: dict[str, Any]) -> float | None:
        """Return the tasks per minute since the last heartbeat."""
        now, before = (time.monotonic(), int(snapshot["total"])), self.last_total
        self.last_total = now
        if before is None:
            return None
        return (now[1] - before[1]) * 60 / max(now[0] - before[0], 0.001)


def record_heartbeat(
    name: str,
    start: uuid.UUID,
    *,
    last_snapshot: dict[str, Any],
    rate: float | None,
    first: bool = False,
) -> None:
    """Store a heartbeat of the worker with this name and this start.

    The row of another start is taken over. If that other worker is still running, it takes the row
    back with its next heartbeat, and so both are found to have the same name.
    """
    rows = Worker.objects.filter(name=name)
    values: dict[str, Any] = {
        "last_seen_at": Now(),
        "stopped_at": None,
        "rate": rate,
        "last_snapshot": last_snapshot,
    }
    if rows.filter(start_id=start).update(**values):
        return
    taken_over = values | {"start_id": start, "started_at": Now()}
    recently = Now() - timedelta(seconds=HEARTBEAT_TIMEOUT)
    online = rows.filter(stopped_at=None, last_seen_at__gt=recently)
    if not first and online.update(**taken_over, duplicate_seen_at=Now()):
        return
    if not rows.update(**taken_over, duplicate_seen_at=None):
        Worker.objects.bulk_create([Worker(name=name, **taken_over)], ignore_conflicts=True)


def delete_expired() -> int:
    """Delete workers without a heartbeat for `WORKER_EXPIRES_DAYS`; return how many."""
    days = timedelta(days=settings.WORKER_EXPIRES_DAYS)
    return Worker.objects.filter(last_seen_at__lt=Now() - days).delete()[0]


def _compact(snapshot: dict[str, Any]) -> dict[str, Any]:
    """Return the snapshot without its long lists, except for the running tasks."""
    excluded = ("reserved", "scheduled", "totals")
    kept = {name: value for name, value in snapshot.items() if name not in excluded}
    return kept | {"running": snapshot["running"][:MAX_RUNNING]}
