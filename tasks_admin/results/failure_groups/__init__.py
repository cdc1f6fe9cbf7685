"""Causes: what staff can do about failures that are alike, and what can be told of them."""

from tasks_admin.results.failure_groups.actions import (
    MOVES,
    can,
    failures_of,
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
    "can",
    "daily",
    "done_to",
    "failures_of",
    "hourly",
    "mute",
    "newest",
    "of",
    "reopen",
    "resolve",
    "retry",
    "shares",
]
