"""The one door to Celery's control API: who is there, what they are doing, and what they are told.

All workers are asked at once, on a connection of our own: Celery's own `inspect` takes two
connections from the process's pool, and ten such calls at a time leave it hanging for good.
"""

from tasks_admin.integrations.control import commands, paused_queues, unmanaged  # noqa: F401 (workers learn our commands)
from tasks_admin.integrations.control.commands import count_taken, taken, told, told_to_revoke
from tasks_admin.integrations.control.requests import ask
from tasks_admin.integrations.control.snapshots import (
    Snapshot,
    WorkerView,
    details,
    forget,
    snapshot,
    view,
)
from tasks_admin.integrations.control.tasks import (
    Termination,
    anybody,
    begun,
    known,
    processes,
    revoke,
    terminate,
)
from tasks_admin.integrations.control.worker_commands import RESIZABLE, done, heard, order, outcomes

__all__ = [
    "RESIZABLE",
    "Snapshot",
    "Termination",
    "WorkerView",
    "anybody",
    "ask",
    "begun",
    "count_taken",
    "details",
    "done",
    "forget",
    "heard",
    "known",
    "order",
    "outcomes",
    "pauses",
    "processes",
    "revoke",
    "snapshot",
    "taken",
    "terminate",
    "told",
    "told_to_revoke",
    "unmanaged",
    "view",
]
