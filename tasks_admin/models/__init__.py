"""The tables."""

from tasks_admin.models.columns import ChosenColumns
from tasks_admin.models.counters import Tallied, Tally
from tasks_admin.models.failure_groups import Cause, CauseHour, CauseState, Failure
from tasks_admin.models.operations import Operation
from tasks_admin.models.periodic import Beat, PeriodicTask
from tasks_admin.models.queues import Quarantined, Queue, QueueMinute
from tasks_admin.models.rate_limits import Attempt
from tasks_admin.models.resets import Reset
from tasks_admin.models.results import Result
from tasks_admin.models.revocations import Revocation
from tasks_admin.models.targets import Target
from tasks_admin.models.workers import Dispatcher, Worker

__all__ = [
    "Attempt",
    "Beat",
    "Cause",
    "CauseHour",
    "CauseState",
    "ChosenColumns",
    "Dispatcher",
    "Failure",
    "Operation",
    "PeriodicTask",
    "Quarantined",
    "Queue",
    "QueueMinute",
    "Reset",
    "Result",
    "Revocation",
    "Tallied",
    "Tally",
    "Target",
    "Worker",
]
