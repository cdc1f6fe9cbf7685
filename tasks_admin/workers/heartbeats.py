"""Which workers are at work: each writes its own row, from a thread that waits for nobody."""

import logging
import os
import threading
import time
import uuid
from collections import Counter
from datetime import timedelta
from typing import Any

from django.db import DatabaseError, connections, router
from django.db.models.functions import Now
from django.utils import timezone

from tasks_admin.integrations import control
from tasks_admin.lib import masks
from tasks_admin.lib.conf import settings
from tasks_admin.models import Queue, QueueMinute, Worker
from tasks_admin.models.workers import EVERY, SILENT
from tasks_admin.workers import commands

logger = logging.getLogger(__name__)
#: Seconds that a fork waits at most.
PATIENCE = 2.0
#: Running tasks that a row names.
MOST = 50
#: Characters of a name that the table holds.
NAME_LENGTH = 255


class Writing:
    """Held while a row is written.

    A process that is forked in the midst of that would inherit the locks of the database's
    library, which nobody there ever lets go. So a fork waits for it, though not for ever.
    """

    def __init__(self) -> None:
        self.lock, self.waited_for = threading.Lock(), False

    def before_fork(self) -> None:
        """Wait until nothing is written."""
        self.waited_for = self.lock.acquire(timeout=PATIENCE)

    def after_fork(self) -> None:
        """Go on, here and there."""
        if self.waited_for:
            self.lock.release()


writing = Writing()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=writing.before_fork,
        after_in_parent=writing.after_fork,
        after_in_child=writing.after_fork,
    )


class Beat:
    """Writes a worker's row every few seconds while it is up, and once more when it stops.

    In a thread: a database that is away must not keep the worker from its work. The connection
    is closed each time: what forks meanwhile must not inherit it.
    """

    def __init__(self, consumer: Any) -> None:
        self.consumer, self.name = consumer, str(consumer.hostname)[:NAME_LENGTH]
        self.start, self.ended, self.due = uuid.uuid4(), False, threading.Event()
        self.told: set[str] = set()
        self.last_snapshot: dict[str, Any] = {}
        self.total: tuple[float, int] | None = None
        self.counted: Counter[str] = Counter()
        self.thread = threading.Thread(target=self._run, name="console-presence", daemon=True)

    def begin(self) -> None:
        """Give signs of life from now on, and at once when an order was carried out."""
        control.heard.append(self.due.set)
        self.thread.start()

    def end(self) -> None:
        """Say that it has stopped, unless the database is away: then it will be called silent."""
        self.ended = True
        self.due.set()
        self.thread.join(timeout=5)
        self._write(self._stop)

    def _run(self) -> None:
        first = True
        while True:
            self._write(lambda first=first: self._sign(first=first))
            first = False
            self.due.wait(EVERY)
            if self.ended:
                return
            self.due.clear()

    def _write(self, act: Any) -> None:
        try:
            with writing.lock:
                act()
        except DatabaseError as error:
            logger.warning("The worker's sign of life was not stored: %s", type(error).__name__)
        except Exception:  # whatever a pool or timer of the project raises: the work goes on
            logger.exception("The worker's sign of life was not stored")
        finally:
            connections[router.db_for_write(Worker)].close()

    def _sign(self, *, first: bool) -> None:
        last_snapshot, rate = self._facts()
        sign(self.name, self.start, last_snapshot=last_snapshot, rate=rate, first=first)
        control.paused_queues.obey_soon(self.consumer, *Queue.objects.desired())
        self._count()
        self._tell()

    def _count(self) -> None:
        """Add up what was taken from each queue since that was last written."""
        now = control.taken.copy()
        QueueMinute.objects.add(timezone.now(), dict(now - self.counted))
        self.counted = now

    def _facts(self) -> tuple[dict[str, Any], float | None]:
        """What it tells of itself; the same as before while its broker is away: it lives on."""
        try:
            told = masks.mask(control.told(self.consumer))
        except Exception:  # a consumer that is being made anew has no parts
            return self.last_snapshot, None
        self.last_snapshot = _brief(told)
        return self.last_snapshot, self._rate(told)

    def _stop(self) -> None:
        _stopped(self.name, self.start)
        self._count()
        self._tell()
        stopped = {key for key, reply in control.done.items() if reply.get("ok") == "stops"}
        for key in stopped:
            commands.outcome(key, self.name, {"ok": "stopped"})

    def _tell(self) -> None:
        """Write down what became of orders: whoever gave them may not have heard the answer."""
        for key, reply in list(control.done.items()):
            if key not in self.told:
                commands.outcome(key, self.name, reply)
                self.told.add(key)

    def _rate(self, last_snapshot: dict[str, Any]) -> float | None:
        """Tasks a minute since the last time."""
        now, before = (time.monotonic(), int(last_snapshot["total"])), self.total
        self.total = now
        if before is None:
            return None
        return (now[1] - before[1]) * 60 / max(now[0] - before[0], 0.001)


def sign(
    name: str,
    start: uuid.UUID,
    *,
    last_snapshot: dict[str, Any],
    rate: float | None,
    first: bool = False,
) -> None:
    """Store a sign of life of the worker of this name that started so.

    A row that another start wrote is taken over. If that one is still at work, it takes it back at
    its next sign, and both find that they are two.
    """
    rows = Worker.objects.filter(name=name)
    told: dict[str, Any] = {
        "last_seen_at": Now(),
        "stopped_at": None,
        "rate": rate,
        "last_snapshot": last_snapshot,
    }
    if rows.filter(start=start).update(**told):
        return
    new = told | {"start": start, "started_at": Now()}
    fresh = rows.filter(stopped_at=None, last_seen_at__gt=Now() - timedelta(seconds=SILENT))
    if not first and fresh.update(**new, duplicate_seen_at=Now()):
        return
    if not rows.update(**new, duplicate_seen_at=None):
        Worker.objects.bulk_create([Worker(name=name, **new)], ignore_conflicts=True)


def _stopped(name: str, start: uuid.UUID) -> None:
    Worker.objects.filter(name=name, start=start).update(stopped_at=Now(), last_seen_at=Now())


def forget_gone() -> int:
    """Delete the rows of workers that were not seen for `WORKER_EXPIRES_DAYS`."""
    days = timedelta(days=settings.WORKER_EXPIRES_DAYS)
    return Worker.objects.filter(last_seen_at__lt=Now() - days).delete()[0]


def _brief(last_snapshot: dict[str, Any]) -> dict[str, Any]:
    """What a row keeps: no lists that may be long, but for what runs."""
    excluded = ("reserved", "scheduled", "totals")
    kept = {name: value for name, value in last_snapshot.items() if name not in excluded}
    return kept | {"running": last_snapshot["running"][:MOST]}
