"""What staff can do about a cause."""

from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from tasks_admin import operations, results
from tasks_admin.lib.errors import WrongState
from tasks_admin.lib.verbs import MUTE, REOPEN, RESOLVE
from tasks_admin.models import FailureGroup, FailureGroupState, Operation, Result
from tasks_admin.operations import Confirmation

if TYPE_CHECKING:
    from django.contrib.auth.models import User

#: From which states to which state a verb takes a cause.
MOVES: dict[str, tuple[tuple[FailureGroupState, ...], FailureGroupState]] = {
    RESOLVE: ((FailureGroupState.OPEN, FailureGroupState.MUTED), FailureGroupState.RESOLVED),
    MUTE: ((FailureGroupState.OPEN, FailureGroupState.RESOLVED), FailureGroupState.MUTED),
    REOPEN: ((FailureGroupState.RESOLVED, FailureGroupState.MUTED), FailureGroupState.OPEN),
}


def is_applicable(group: FailureGroup, verb: str) -> bool:
    """Whether the cause is in a state in which this can be done."""
    return group.state in MOVES[verb][0]


def resolve(*, group: FailureGroup, actor: "User", reason: str) -> Operation:
    """Call it mended. The next failure opens it again, and it says so."""
    return _move(group, RESOLVE, actor, reason, reopened_at=None)


def mute(*, group: FailureGroup, actor: "User", reason: str) -> Operation:
    """Leave it out of the list. It is counted on."""
    return _move(group, MUTE, actor, reason)


def reopen(*, group: FailureGroup, actor: "User", reason: str) -> Operation:
    """Take a resolution or a mute back."""
    return _move(group, REOPEN, actor, reason)


def failures_of(group: FailureGroup) -> QuerySet[Any]:
    """The results that failed for it, as far as they are stored."""
    return Result.objects.filter(task_id__in=group.failures.values("task_id"))


def retry(*, group: FailureGroup, confirmation: Confirmation) -> Operation:
    """Queue the failed tasks of the group again, once each."""
    return results.retry_failed(results=failures_of(group), confirmation=confirmation)


def _move(group: FailureGroup, verb: str, actor: "User", reason: str, **more: Any) -> Operation:
    """Change the state, guarded: of two who do it at once, one is told that it is done."""
    operations.require(actor, verb)
    before, after = MOVES[verb]
    with transaction.atomic():
        rows = FailureGroup.objects.filter(pk=group.pk, state__in=before)
        if not rows.update(state=after, **more):
            group.refresh_from_db()
            raise WrongState(
                _("The failure group is %(state)s. Nothing was changed.")
                % {"state": group.get_state_display()}
            )
        group.state = after
        return operations.record(
            verb=verb,
            actor=actor,
            reason=reason,
            outcomes=[operations.Outcome(subject=str(group.pk))],
        )
