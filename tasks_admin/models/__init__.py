"""The database tables."""

from tasks_admin.models.columns import ColumnChoice
from tasks_admin.models.counters import ResultCount, ResultCountCheckpoint
from tasks_admin.models.failure_groups import (
    Failure,
    FailureGroup,
    FailureGroupHour,
    FailureGroupState,
)
from tasks_admin.models.operations import Operation
from tasks_admin.models.periodic import Beat, PeriodicTask
from tasks_admin.models.queues import QuarantinedMessage, Queue, QueueMinute
from tasks_admin.models.rate_limits import RateLimitCounter
from tasks_admin.models.resets import Reset
from tasks_admin.models.results import Result
from tasks_admin.models.revocations import Revocation
from tasks_admin.models.targets import Target
from tasks_admin.models.workers import Dispatcher, Worker

__all__ = [
    "Beat",
    "ColumnChoice",
    "Dispatcher",
    "Failure",
    "FailureGroup",
    "FailureGroupHour",
    "FailureGroupState",
    "Operation",
    "PeriodicTask",
    "QuarantinedMessage",
    "Queue",
    "QueueMinute",
    "RateLimitCounter",
    "Reset",
    "Result",
    "ResultCount",
    "ResultCountCheckpoint",
    "Revocation",
    "Target",
    "Worker",
]
