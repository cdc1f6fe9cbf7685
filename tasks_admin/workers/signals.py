"""Signs of life of the worker that this process is; connected to Celery's signals."""

import logging
from typing import Any

from django.db import DatabaseError, connections, router

from tasks_admin.integrations import control, database
from tasks_admin.lib.conf import settings
from tasks_admin.models import Queue
from tasks_admin.workers.heartbeats import Beat

logger = logging.getLogger(__name__)
#: Seconds that a worker waits for the database when it starts.
PATIENCE = 5.0
_beats: list[Beat] = []


def obey_pauses(sender: Any = None, instance: Any = None, **_: Any) -> None:
    """Leave out paused queues before anything is consumed; called by `celeryd_after_setup`.

    While the database is away nobody knows which these are: the worker consumes nothing until
    its signs of life have found out.
    """
    if not settings.WORKER_PRESENCE:
        return
    try:
        desired = database.retry_until_available(Queue.objects.desired, patience=PATIENCE)
    except DatabaseError:
        logger.warning("The database is away: nothing is consumed until it tells what is paused.")
        control.paused_queues.begin(instance.app, None)
    else:
        control.paused_queues.begin(instance.app, *desired)
    finally:
        connections[router.db_for_read(Queue)].close()  # what forks must not inherit it


def begin(sender: Any = None, **_: Any) -> None:
    """Begin when the worker is ready; called by Celery's `worker_ready`."""
    if settings.WORKER_PRESENCE and sender is not None:
        _beats.append(Beat(sender))
        _beats[-1].begin()


def end(**_: Any) -> None:
    """Say that it stopped; called by Celery's `worker_shutdown`."""
    while _beats:
        _beats.pop().end()
