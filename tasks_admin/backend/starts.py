"""When a task started, in the memory of its process: one statement stores it with the outcome."""

import time
from typing import Any

from tasks_admin.integrations import database


def record_start(task: Any = None, **_: Any) -> None:
    """Record the time, and drop dead connections. Receiver of Celery's `task_prerun`.

    Celery would close all connections around each task; ours stay open. A task must not be the
    first to detect that the database was restarted in between.
    """
    if task is None or getattr(task.request, "is_eager", False):
        return
    task.request.console_started_at = time.monotonic()
    database.drop_dead_connections()


def seconds_since_start(request: Any) -> float | None:
    """Seconds since the task started; None if it did not start in this process.

    By a monotonic clock: a change of the system time has no effect.
    """
    started_at = getattr(request, "console_started_at", None)
    return time.monotonic() - started_at if isinstance(started_at, float) else None
