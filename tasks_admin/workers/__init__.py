"""Workers: heartbeats, commands, and the overview of their state."""

from tasks_admin.workers.actions import (
    ORPHANING_COMMANDS,
    available_commands,
    online_workers_for,
    send_command,
    would_orphan,
)
from tasks_admin.workers.options import OPTIONS, SIZE_OPTIONS, TIME_OPTIONS, choices, max_value
from tasks_admin.workers.overview import (
    Overview,
    State,
    WorkerStatus,
    discover_unmanaged,
    find,
    overview,
)

__all__ = [
    "OPTIONS",
    "ORPHANING_COMMANDS",
    "SIZE_OPTIONS",
    "TIME_OPTIONS",
    "Overview",
    "State",
    "WorkerStatus",
    "available_commands",
    "choices",
    "discover_unmanaged",
    "find",
    "max_value",
    "online_workers_for",
    "overview",
    "send_command",
    "would_orphan",
]
