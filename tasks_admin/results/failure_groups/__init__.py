"""Failure groups: the actions that staff can perform on them, and their overview."""

from tasks_admin.results.failure_groups.actions import (
    MOVES,
    failures_of,
    is_applicable,
    mute,
    reopen,
    resolve,
    retry,
)
from tasks_admin.results.failure_groups.overview import Seen, done_to, newest, of
from tasks_admin.results.failure_groups.trends import Share, Trend, daily, hourly, shares

__all__ = [
    "MOVES",
    "Seen",
    "Share",
    "Trend",
    "daily",
    "done_to",
    "failures_of",
    "hourly",
    "is_applicable",
    "mute",
    "newest",
    "of",
    "reopen",
    "resolve",
    "retry",
    "shares",
]
