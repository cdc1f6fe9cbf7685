"""Receivers of Celery's worker signals: they run in the worker's main process."""

import logging
from typing import Any

from django.db import DatabaseError, connections, router

from tasks_admin.integrations import control, database
from tasks_admin.lib.conf import settings
from tasks_admin.models import Queue
from tasks_admin.workers.heartbeats import HeartbeatThread

logger = logging.getLogger(__name__)
#: Seconds for which a worker that starts waits for the database.
DATABASE_TIMEOUT = 5.0
_threads: list[HeartbeatThread] = []


def exclude_paused_queues(sender: Any = None, instance: Any = None, **_: Any) -> None:
    """Exclude paused queues before the worker consumes; a receiver of `celeryd_after_setup`.

    Without the database it is unknown which queues are paused: the worker then consumes none until
    a heartbeat has read them.
    """
    if not settings.WORKER_PRESENCE:
        return
    try:
        desired = database.retry_until_available(
            Queue.objects.paused_names, timeout=DATABASE_TIMEOUT
        )
    except DatabaseError:
        logger.warning(
            "The database is unavailable: this worker consumes no queue until it knows which "
            "queues are paused."
        )
        control.paused_queues.apply_at_start(instance.app, None)
    else:
        control.paused_queues.apply_at_start(instance.app, *desired)
    finally:
        connections[router.db_for_read(Queue)].close()  # forked processes must not inherit it


def start_heartbeat(sender: Any = None, **_: Any) -> None:
    """Start the heartbeat when the worker is ready; a receiver of `worker_ready`."""
    if settings.WORKER_PRESENCE and sender is not None:
        thread = HeartbeatThread(sender)
        _threads.append(thread)
        thread.start()


def stop_heartbeat(**_: Any) -> None:
    """Record that the worker stopped; a receiver of `worker_shutdown`."""
    while _threads:
        _threads.pop().stop()
