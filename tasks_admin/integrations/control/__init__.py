"""The interface to Celery's control API: the state of the workers, and commands to them.

A request goes to all workers at once, on a connection of its own: Celery's `inspect` takes two
connections from the process's pool, and ten concurrent calls deadlock the process.
"""

from tasks_admin.integrations.control import commands, paused_queues, unmanaged  # noqa: F401 (registers our commands)
from tasks_admin.integrations.control.commands import (
    count_taken,
    is_revoked,
    taken,
    worker_snapshot,
)
from tasks_admin.integrations.control.requests import request
from tasks_admin.integrations.control.snapshots import (
    Snapshot,
    WorkerView,
    clear_cache,
    parse_snapshot,
    snapshot,
    worker_details,
)
from tasks_admin.integrations.control.tasks import (
    TerminationReplies,
    any_worker_replies,
    held_task_ids,
    pool_processes,
    revoke,
    running_task_ids,
    terminate,
)
from tasks_admin.integrations.control.worker_commands import (
    RESIZABLE_POOLS,
    command_outcomes,
    outcome_listeners,
    outcomes,
    send_command,
)

__all__ = [
    "RESIZABLE_POOLS",
    "Snapshot",
    "TerminationReplies",
    "WorkerView",
    "any_worker_replies",
    "clear_cache",
    "command_outcomes",
    "count_taken",
    "held_task_ids",
    "is_revoked",
    "outcome_listeners",
    "outcomes",
    "parse_snapshot",
    "paused_queues",
    "pool_processes",
    "request",
    "revoke",
    "running_task_ids",
    "send_command",
    "snapshot",
    "taken",
    "terminate",
    "unmanaged",
    "worker_details",
    "worker_snapshot",
]
