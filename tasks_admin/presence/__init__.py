"""Presence: which dispatchers, workers and beats are at work."""

from tasks_admin.presence import beats
from tasks_admin.presence.dispatchers import EVERY, SILENT, forget_silent, leave, missing, sign
from tasks_admin.presence.workers import Beat, forget_gone

__all__ = [
    "EVERY",
    "SILENT",
    "Beat",
    "beats",
    "forget_gone",
    "forget_silent",
    "leave",
    "missing",
    "sign",
]
