"""Signs of life of the worker that this process is; connected to Celery's signals."""

from typing import Any

from tasks_admin.conf import settings
from tasks_admin.presence import Beat

_beats: list[Beat] = []


def begin(sender: Any = None, **_: Any) -> None:
    """Begin when the worker is ready; called by Celery's `worker_ready`."""
    if settings.WORKER_PRESENCE and sender is not None:
        _beats.append(Beat(sender))
        _beats[-1].begin()


def end(**_: Any) -> None:
    """Say that it stopped; called by Celery's `worker_shutdown`."""
    while _beats:
        _beats.pop().end()
