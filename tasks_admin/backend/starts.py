"""When a task began, kept in the process that runs it: its end is written with it, in one go."""

import time
from typing import Any

from tasks_admin.integrations import database


def remember(task: Any = None, **_: Any) -> None:
    """Note the moment, and drop connections that were cut; called by Celery's `task_prerun`.

    Celery would close all connections around each task; ours stay open. A task must not be the
    first to find out that the database was restarted meanwhile.
    """
    if task is None or getattr(task.request, "is_eager", False):
        return
    task.request.console_begun = time.monotonic()
    database.drop_dead_connections()


def ran(request: Any) -> float | None:
    """Seconds since the task began, when it runs in this process. No clock can set it back."""
    begun = getattr(request, "console_begun", None)
    return time.monotonic() - begun if isinstance(begun, float) else None
