"""Which workers are at work: each writes its own row, from a thread that waits for nobody."""

import logging
import threading
import time
import uuid
from datetime import timedelta
from typing import Any

from django.db import DatabaseError, connections, router
from django.db.models.functions import Now

from tasks_admin import control, masks
from tasks_admin.conf import settings
from tasks_admin.models import Worker
from tasks_admin.models.workers import EVERY, SILENT

logger = logging.getLogger(__name__)
#: Running tasks that a row names.
MOST = 50
#: Characters of a name that the table holds.
NAME_LENGTH = 255


class Beat:
    """Writes a worker's row every few seconds while it is up, and once more when it stops.

    In a thread: a database that is away must not keep the worker from its work. The connection
    is closed each time: what forks meanwhile must not inherit it.
    """

    def __init__(self, consumer: Any) -> None:
        self.consumer, self.name = consumer, str(consumer.hostname)[:NAME_LENGTH]
        self.start, self.ended = uuid.uuid4(), threading.Event()
        self.total: tuple[float, int] | None = None
        self.thread = threading.Thread(target=self._run, name="console-presence", daemon=True)

    def begin(self) -> None:
        """Give signs of life from now on."""
        self.thread.start()

    def end(self) -> None:
        """Say that it has stopped, unless the database is away: then it will be called silent."""
        self.ended.set()
        self.thread.join(timeout=5)
        self._write(lambda: _stopped(self.name, self.start))

    def _run(self) -> None:
        first = True
        while True:
            self._write(lambda first=first: self._sign(first=first))
            first = False
            if self.ended.wait(EVERY):
                return

    def _write(self, act: Any) -> None:
        try:
            act()
        except DatabaseError as error:
            logger.warning("The worker's sign of life was not stored: %s", type(error).__name__)
        except Exception:  # whatever a pool or timer of the project raises: the work goes on
            logger.exception("The worker's sign of life was not stored")
        finally:
            connections[router.db_for_write(Worker)].close()

    def _sign(self, *, first: bool) -> None:
        facts = masks.mask(control.told(self.consumer))
        sign(self.name, self.start, facts=_brief(facts), rate=self._rate(facts), first=first)

    def _rate(self, facts: dict[str, Any]) -> float | None:
        """Tasks a minute since the last time."""
        now, before = (time.monotonic(), int(facts["total"])), self.total
        self.total = now
        if before is None:
            return None
        return (now[1] - before[1]) * 60 / max(now[0] - before[0], 0.001)


def sign(
    name: str, start: uuid.UUID, *, facts: dict[str, Any], rate: float | None, first: bool = False
) -> None:
    """Store a sign of life of the worker of this name that started so.

    A row that another start wrote is taken over. If that one is still at work, it takes it back at
    its next sign, and both find that they are two.
    """
    rows = Worker.objects.filter(name=name)
    told: dict[str, Any] = {"seen_at": Now(), "stopped_at": None, "rate": rate, "facts": facts}
    if rows.filter(start=start).update(**told):
        return
    new = told | {"start": start, "started_at": Now()}
    fresh = rows.filter(stopped_at=None, seen_at__gt=Now() - timedelta(seconds=SILENT))
    if not first and fresh.update(**new, doubled_at=Now()):
        return
    if not rows.update(**new, doubled_at=None):
        Worker.objects.bulk_create([Worker(name=name, **new)], ignore_conflicts=True)


def _stopped(name: str, start: uuid.UUID) -> None:
    Worker.objects.filter(name=name, start=start).update(stopped_at=Now(), seen_at=Now())


def forget_gone() -> int:
    """Delete the rows of workers that were not seen for `WORKER_EXPIRES_DAYS`."""
    days = timedelta(days=settings.WORKER_EXPIRES_DAYS)
    return Worker.objects.filter(seen_at__lt=Now() - days).delete()[0]


def _brief(facts: dict[str, Any]) -> dict[str, Any]:
    """What a row keeps: no lists that may be long, but for what runs."""
    left_out = ("reserved", "scheduled", "totals")
    kept = {name: value for name, value in facts.items() if name not in left_out}
    return kept | {"running": facts["running"][:MOST]}
