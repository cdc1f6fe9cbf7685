"""Presence: which dispatchers and workers are at work."""

from tasks_admin.presence.dispatchers import EVERY, SILENT, forget_silent, leave, missing, sign
from tasks_admin.presence.workers import Beat, forget_gone

__all__ = [
    "EVERY",
    "SILENT",
    "Beat",
    "forget_gone",
    "forget_silent",
    "leave",
    "missing",
    "sign",
]
