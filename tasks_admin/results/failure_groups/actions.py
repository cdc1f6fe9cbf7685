"""The actions that staff can perform on a failure group."""

from collections.abc import Callable
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

#: The states in which a verb applies, and the state that it leads to.
TRANSITIONS: dict[str, tuple[tuple[FailureGroupState, ...], FailureGroupState]] = {
    RESOLVE: ((FailureGroupState.OPEN, FailureGroupState.MUTED), FailureGroupState.RESOLVED),
    MUTE: ((FailureGroupState.OPEN, FailureGroupState.RESOLVED), FailureGroupState.MUTED),
    REOPEN: ((FailureGroupState.RESOLVED, FailureGroupState.MUTED), FailureGroupState.OPEN),
}


def is_applicable(group: FailureGroup, verb: str) -> bool:
    """Whether the verb applies to the group in its present state."""
    return group.state in TRANSITIONS[verb][0]


def resolve(*, group: FailureGroup, actor: "User", reason: str) -> Operation:
    """Mark the group as resolved. The next failure reopens it and marks it as regressed."""
    return _change_state(group, RESOLVE, actor, reason, reopened_at=None)


def mute(*, group: FailureGroup, actor: "User", reason: str) -> Operation:
    """Hide the group from the list. Its failures are still counted."""
    return _change_state(group, MUTE, actor, reason)


def reopen(*, group: FailureGroup, actor: "User", reason: str) -> Operation:
    """Undo a resolution or a mute."""
    return _change_state(group, REOPEN, actor, reason)


#: The actions on a failure group by name, for pages and commands.
ACTIONS: dict[str, Callable[..., Operation]] = {RESOLVE: resolve, MUTE: mute, REOPEN: reopen}


def results_of(group: FailureGroup) -> QuerySet[Any]:
    """The results of the group's failures, as far as they are still stored."""
    return Result.objects.filter(task_id__in=group.failures.values("task_id"))


def retry(*, group: FailureGroup, confirmation: Confirmation) -> Operation:
    """Queue the failed tasks of the group again, once each."""
    return results.retry_failed(results=results_of(group), confirmation=confirmation)


def _change_state(
    group: FailureGroup, verb: str, actor: "User", reason: str, **fields: Any
) -> Operation:
    """Change the state by a guarded UPDATE: the loser of a race gets `WrongState`."""
    operations.require(actor, verb)
    before, after = TRANSITIONS[verb]
    with transaction.atomic():
        rows = FailureGroup.objects.filter(pk=group.pk, state__in=before)
        if not rows.update(state=after, **fields):
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
