"""Failure groups: the actions that staff can perform on them, and their overview."""

from tasks_admin.results.failure_groups.actions import (
    ACTIONS,
    TRANSITIONS,
    is_applicable,
    mute,
    reopen,
    resolve,
    results_of,
    retry,
)
from tasks_admin.results.failure_groups.overview import (
    StoredFailure,
    actions_on,
    group_of,
    latest_failures,
)
from tasks_admin.results.failure_groups.trends import (
    FailureRate,
    daily,
    failure_rates,
    hourly,
)

__all__ = [
    "ACTIONS",
    "TRANSITIONS",
    "FailureRate",
    "StoredFailure",
    "actions_on",
    "daily",
    "failure_rates",
    "group_of",
    "hourly",
    "is_applicable",
    "latest_failures",
    "mute",
    "reopen",
    "resolve",
    "results_of",
    "retry",
]
