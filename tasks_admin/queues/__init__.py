"""Queues: depth, history, consumers, and the actions that staff can perform on them."""

from tasks_admin.queues.actions import (
    ACTIONS,
    Purge,
    QueuedMessage,
    pause,
    peek,
    purge,
    purges,
    restore,
    resume,
)
from tasks_admin.queues.history import history
from tasks_admin.queues.overview import (
    Overview,
    QueueStatus,
    clear_cache,
    find,
    names,
    overview,
    record_minute,
)

__all__ = [
    "ACTIONS",
    "Overview",
    "Purge",
    "QueueStatus",
    "QueuedMessage",
    "clear_cache",
    "find",
    "history",
    "names",
    "overview",
    "pause",
    "peek",
    "purge",
    "purges",
    "record_minute",
    "restore",
    "resume",
]
