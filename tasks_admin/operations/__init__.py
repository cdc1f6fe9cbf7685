"""The ledger of operations: start, claim, change and finish them; check permissions."""

from tasks_admin.operations.claims import adopt, claim, postpone
from tasks_admin.operations.confirmation import Confirmation
from tasks_admin.operations.finish import finish_ended
from tasks_admin.operations.permissions import require, require_actor, still_allowed
from tasks_admin.operations.records import Outcome, record
from tasks_admin.operations.start import (
    Rows,
    Selection,
    count_exclusions,
    fingerprint,
    selected,
    single,
    start,
)
from tasks_admin.operations.transitions import (
    ACTIONS,
    TRANSITIONS,
    abort,
    approve,
    cancel_unstarted,
    is_applicable,
    pause,
    resume,
    throttle,
)

__all__ = [
    "ACTIONS",
    "TRANSITIONS",
    "Confirmation",
    "Outcome",
    "Rows",
    "Selection",
    "abort",
    "adopt",
    "approve",
    "cancel_unstarted",
    "claim",
    "count_exclusions",
    "fingerprint",
    "finish_ended",
    "is_applicable",
    "pause",
    "postpone",
    "record",
    "require",
    "require_actor",
    "resume",
    "selected",
    "single",
    "start",
    "still_allowed",
    "throttle",
]
