"""Which beats are at work, and what their schedules say: each writes its own rows."""

import logging
import os
import socket
import threading
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db import DatabaseError, connections, router
from django.db.models.functions import Now
from django.utils import timezone

from tasks_admin.lib.conf import settings
from tasks_admin.models import Beat, PeriodicTask

logger = logging.getLogger(__name__)
#: Seconds between two signs of life.
EVERY = 10.0
#: Entries of a schedule that are written down.
MOST = 1000


class Ticking:
    """Writes a beat's rows every few seconds while it is up, in a thread: beat must not wait."""

    def __init__(self, service: Any) -> None:
        self.service, self.name = service, f"{socket.gethostname()}:{os.getpid()}"[:255]
        self.thread = threading.Thread(target=self._run, name="console-beat", daemon=True)

    def begin(self) -> None:
        """Give signs of life from now on."""
        self.thread.start()

    def _run(self) -> None:
        time.sleep(1)  # beat is about to read its schedule
        while True:
            self.write()
            connections[router.db_for_write(Beat)].close()
            time.sleep(EVERY)

    def write(self) -> None:
        """Say that it is at work, and what its schedule says."""
        try:
            sign(self.name)
            note(_entries(self.service.scheduler))
        except DatabaseError as error:
            logger.warning("Beat's sign of life was not stored: %s", type(error).__name__)
        except Exception:  # whatever a scheduler of the project raises: beat goes on
            logger.exception("Beat's sign of life was not stored")


def begin(sender: Any = None, **_: Any) -> None:
    """Begin when beat does; called by Celery's `beat_init`."""
    if settings.WORKER_PRESENCE and sender is not None:
        Ticking(sender).begin()


def sign(name: str) -> None:
    """Say that a beat is at work."""
    if not Beat.objects.filter(pk=name).update(last_seen_at=Now()):
        Beat.objects.bulk_create([Beat(name=name, last_seen_at=Now())], ignore_conflicts=True)


def note(entries: Iterable[Any]) -> None:
    """Store what a schedule says of each of its entries."""
    now = timezone.now()
    rows = [
        PeriodicTask(
            name=str(entry.name)[:255],
            task=str(entry.task)[:255],
            schedule=str(entry.schedule).strip("<>")[:255],
            # Celery sets the moment of an entry that never ran to when it was made.
            last_at=entry.last_run_at if entry.total_run_count else None,
            next_at=now + timedelta(seconds=max(entry.is_due().next, 0)),
            runs=entry.total_run_count,
            last_seen_at=now,
        )
        for entry in entries
    ]
    PeriodicTask.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["name"],
        update_fields=["task", "schedule", "last_at", "next_at", "runs", "last_seen_at"],
    )


def forget_stopped() -> int:
    """Delete the rows of beats and entries that were not seen for `WORKER_EXPIRES_DAYS`."""
    before = Now() - timedelta(days=settings.WORKER_EXPIRES_DAYS)
    count = Beat.objects.filter(last_seen_at__lt=before).delete()[0]
    return count + PeriodicTask.objects.filter(last_seen_at__lt=before).delete()[0]


def _entries(scheduler: Any) -> list[Any]:
    """The entries of a schedule; none of one that has a table of its own, which is read there."""
    if type(scheduler).__module__.startswith("django_celery_beat"):
        return []
    return list(scheduler.schedule.values())[:MOST]
