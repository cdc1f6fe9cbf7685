"""What staff can do about a cause."""

from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from tasks_admin import operations, results
from tasks_admin.lib.errors import WrongState
from tasks_admin.lib.verbs import MUTE, REOPEN, RESOLVE
from tasks_admin.models import Cause, CauseState, Operation, Result

if TYPE_CHECKING:
    from django.contrib.auth.models import User

#: From which states to which state a verb takes a cause.
MOVES: dict[str, tuple[tuple[CauseState, ...], CauseState]] = {
    RESOLVE: ((CauseState.OPEN, CauseState.MUTED), CauseState.RESOLVED),
    MUTE: ((CauseState.OPEN, CauseState.RESOLVED), CauseState.MUTED),
    REOPEN: ((CauseState.RESOLVED, CauseState.MUTED), CauseState.OPEN),
}


def can(cause: Cause, verb: str) -> bool:
    """Whether the cause is in a state in which this can be done."""
    return cause.state in MOVES[verb][0]


def resolve(*, cause: Cause, actor: "User", reason: str) -> Operation:
    """Call it mended. The next failure opens it again, and it says so."""
    return _move(cause, RESOLVE, actor, reason, reopened_at=None)


def mute(*, cause: Cause, actor: "User", reason: str) -> Operation:
    """Leave it out of the list. It is counted on."""
    return _move(cause, MUTE, actor, reason)


def reopen(*, cause: Cause, actor: "User", reason: str) -> Operation:
    """Take a resolution or a mute back."""
    return _move(cause, REOPEN, actor, reason)


def failures_of(cause: Cause) -> QuerySet[Any]:
    """The results that failed for it, as far as they are stored."""
    return Result.objects.filter(task_id__in=cause.failures.values("task_id"))


def retry(*, cause: Cause, actor: "User", reason: str, **more: Any) -> Operation:
    """Queue all again that failed for it and was not retried yet; see `results.retry_failed`."""
    return results.retry_failed(results=failures_of(cause), actor=actor, reason=reason, **more)


def _move(cause: Cause, verb: str, actor: "User", reason: str, **more: Any) -> Operation:
    """Change the state, guarded: of two who do it at once, one is told that it is done."""
    operations.require(actor, verb)
    before, after = MOVES[verb]
    with transaction.atomic():
        rows = Cause.objects.filter(pk=cause.pk, state__in=before)
        if not rows.update(state=after, **more):
            cause.refresh_from_db()
            raise WrongState(
                _("This cause is %(state)s: nothing was changed.")
                % {"state": cause.get_state_display()}
            )
        cause.state = after
        return operations.record(
            verb=verb,
            actor=actor,
            reason=reason,
            outcomes=[operations.Outcome(subject=str(cause.pk))],
        )
