"""Heartbeats of Celery beat: each beat process writes its own row and its schedule."""

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
from tasks_admin.models.workers import HEARTBEAT_INTERVAL

logger = logging.getLogger(__name__)
#: Seconds after the start of beat until its first heartbeat: it reads its schedule first.
START_DELAY = 1.0
#: Entries of a schedule that are stored.
MAX_ENTRIES = 1000


class HeartbeatThread:
    """Writes beat's rows every few seconds; a thread, so that the database does not delay beat."""

    def __init__(self, service: Any) -> None:
        self.service, self.name = service, f"{socket.gethostname()}:{os.getpid()}"[:255]
        self.thread = threading.Thread(target=self._run, name="console-beat", daemon=True)

    def start(self) -> None:
        """Write heartbeats from now on."""
        self.thread.start()

    def _run(self) -> None:
        time.sleep(START_DELAY)
        while True:
            self.write()
            connections[router.db_for_write(Beat)].close()
            time.sleep(HEARTBEAT_INTERVAL)

    def write(self) -> None:
        """Store a heartbeat and the schedule."""
        try:
            record_heartbeat(self.name)
            record_entries(_entries(self.service.scheduler))
        except DatabaseError as error:
            logger.warning("Beat's heartbeat was not stored: %s", type(error).__name__)
        except Exception:  # a scheduler of the project raised: beat must continue
            logger.exception("Beat's heartbeat was not stored")


def start_heartbeat(sender: Any = None, **_: Any) -> None:
    """Start the heartbeat with beat; a receiver of `beat_init` and `beat_embedded_init`."""
    if settings.WORKER_PRESENCE and sender is not None:
        HeartbeatThread(sender).start()


def record_heartbeat(name: str) -> None:
    """Store a heartbeat of the beat with this name."""
    if not Beat.objects.filter(pk=name).update(last_seen_at=Now()):
        Beat.objects.bulk_create([Beat(name=name, last_seen_at=Now())], ignore_conflicts=True)


def record_entries(entries: Iterable[Any]) -> None:
    """Store the entries of a schedule."""
    now = timezone.now()
    rows = [
        PeriodicTask(
            name=str(entry.name)[:255],
            task=str(entry.task)[:255],
            schedule=str(entry.schedule).strip("<>")[:255],
            # For an entry that has never run, Celery sets `last_run_at` to its creation.
            last_run_at=entry.last_run_at if entry.total_run_count else None,
            next_run_at=now + timedelta(seconds=max(entry.is_due().next, 0)),
            runs=entry.total_run_count,
            last_seen_at=now,
        )
        for entry in entries
    ]
    PeriodicTask.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["name"],
        update_fields=["task", "schedule", "last_run_at", "next_run_at", "runs", "last_seen_at"],
    )


def delete_expired() -> int:
    """Delete beats and entries that were not seen for `WORKER_EXPIRES_DAYS`; return how many."""
    before = Now() - timedelta(days=settings.WORKER_EXPIRES_DAYS)
    count = Beat.objects.filter(last_seen_at__lt=before).delete()[0]
    return count + PeriodicTask.objects.filter(last_seen_at__lt=before).delete()[0]


def _entries(scheduler: Any) -> list[Any]:
    """Return the entries of a schedule; none for django-celery-beat, which has its own tables."""
    if type(scheduler).__module__.startswith("django_celery_beat"):
        return []
    return list(scheduler.schedule.values())[:MAX_ENTRIES]
