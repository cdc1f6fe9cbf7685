"""Operations: started in one transaction, frozen, claimed by workers, brought to an end."""

from tasks_admin.operations.claims import adopt, claim, postpone
from tasks_admin.operations.finish import finish_ended
from tasks_admin.operations.permissions import require, still_allowed
from tasks_admin.operations.records import Outcome, record
from tasks_admin.operations.start import (
    Rows,
    Selection,
    count_exclusions,
    fingerprint,
    single,
    start,
)
from tasks_admin.operations.transitions import (
    MOVES,
    abort,
    approve,
    cancel_unbegun,
    is_applicable,
    pause,
    resume,
    throttle,
)

__all__ = [
    "MOVES",
    "Outcome",
    "Rows",
    "Selection",
    "abort",
    "adopt",
    "approve",
    "cancel_unbegun",
    "claim",
    "count_exclusions",
    "fingerprint",
    "finish_ended",
    "is_applicable",
    "pause",
    "postpone",
    "record",
    "require",
    "resume",
    "single",
    "start",
    "still_allowed",
    "throttle",
]
