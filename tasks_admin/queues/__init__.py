"""Queues: what can be told of them, and what staff can do with them."""

from tasks_admin.queues.actions import (
    Next,
    Quarantine,
    look_into,
    pause,
    purge,
    quarantines,
    restore,
    resume,
)
from tasks_admin.queues.history import History, history
from tasks_admin.queues.overview import Overview, Seen, forget, names, one, overview, record_minute

__all__ = [
    "History",
    "Next",
    "Overview",
    "Quarantine",
    "Seen",
    "forget",
    "history",
    "look_into",
    "names",
    "one",
    "overview",
    "pause",
    "purge",
    "quarantines",
    "record_minute",
    "restore",
    "resume",
]
