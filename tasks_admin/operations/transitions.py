"""What can be done to an operation on its way."""

from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Case, F, When
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from tasks_admin.lib.errors import NotAllowed, WrongState
from tasks_admin.lib.verbs import UNINTERRUPTIBLE
from tasks_admin.models.operations import Operation, OperationState
from tasks_admin.models.results import Result
from tasks_admin.models.targets import TargetState
from tasks_admin.operations.permissions import require, still_allowed

if TYPE_CHECKING:
    from django.contrib.auth.models import User as Actor

GOING = (OperationState.PENDING, OperationState.RUNNING, OperationState.PAUSED)
#: From which states to which state a verb takes an operation.
MOVES: dict[str, tuple[tuple[OperationState, ...], OperationState]] = {
    "approve": ((OperationState.PENDING,), OperationState.RUNNING),
    "pause": ((OperationState.RUNNING,), OperationState.PAUSED),
    "resume": ((OperationState.PAUSED,), OperationState.RUNNING),
    "abort": (GOING, OperationState.ABORTED),
}


def is_applicable(operation: Operation, verb: str) -> bool:
    """Whether the operation is in a state in which this can be done."""
    before = GOING if verb == "throttle" else MOVES[verb][0]
    stops = verb in {"pause", "abort", "throttle"}
    return (
        not operation.is_finished
        and operation.state in before
        and not (stops and operation.verb in UNINTERRUPTIBLE)
    )


def pause(*, operation: Operation, actor: "Actor", reason: str) -> Operation:
    """Stop new work; what a worker has begun is finished."""
    return _move(operation, "pause", actor, reason)


def resume(*, operation: Operation, actor: "Actor", reason: str) -> Operation:
    """Go on where it was paused."""
    require(actor, "resume")
    if not still_allowed(operation):
        raise WrongState(
            _(
                "Who started %(operation)s may no longer do that, so nothing was changed. "
                "Give the permission back, or abort this and start another."
            )
            % {"operation": operation}
        )
    # Who resumes after a canary failed has decided to go on without one.
    canary = Case(When(pause_reason="canary", then=False), default=F("canary"))
    return _move(operation, "resume", actor, reason, pause_reason="", canary=canary)


def approve(*, operation: Operation, actor: "Actor", reason: str) -> Operation:
    """Let an operation begin that needs a second person; nobody approves their own."""
    require(actor, "approve")
    if operation.actor_id == actor.pk:
        raise NotAllowed(_("Somebody else must approve this: nobody approves their own."))
    return _move(operation, "approve", actor, reason)


def throttle(*, operation: Operation, actor: "Actor", reason: str, rate: int | None) -> Operation:
    """Change how many targets a minute are published; None: as fast as it goes."""
    require(actor, "throttle")
    with transaction.atomic():
        active = Operation.objects.active().filter(pk=operation.pk, state__in=GOING)
        if not active.update(rate=rate):
            raise WrongState(
                _("%(operation)s is over: nothing was changed.") % {"operation": operation}
            )
        return _record("throttle", operation, actor, reason, rate=rate)


def abort(*, operation: Operation, actor: "Actor", reason: str) -> Operation:
    """Cancel what has not begun, for good."""
    with transaction.atomic():
        record = _move(operation, "abort", actor, reason)
        cancel_unbegun(operation)
    return record


def cancel_unbegun(operation: Operation) -> int:
    """Cancel what waits; in an aborted operation that may also be what a worker put back."""
    unbegun = operation.targets.filter(state__in=[TargetState.WAITING, TargetState.QUEUED])
    published = [target.task_id for target in unbegun.filter(state=TargetState.QUEUED)]
    count = unbegun.settle(TargetState.CANCELLED, reason="aborted")
    Result.objects.filter(task_id__in=published).revoke_unfinished()
    return count


def _move(operation: Operation, verb: str, actor: "Actor", reason: str, **more: Any) -> Operation:
    """Change an operation's state, and record who did it as an operation too."""
    require(actor, verb)
    before, after = MOVES[verb]
    with transaction.atomic():
        active = Operation.objects.active().filter(pk=operation.pk, state__in=before)
        if operation.verb in UNINTERRUPTIBLE and verb in {"pause", "abort"}:
            text = _("%(operation)s is not left half done: nothing was changed.")
            raise WrongState(text % {"operation": operation})
        if not active.update(state=after, **more):
            operation.refresh_from_db()
            raise WrongState(
                _("%(operation)s is %(state)s: nothing was changed.")
                % {"operation": operation, "state": operation.get_state_display()}
            )
        operation.state = after
        return _record(verb, operation, actor, reason)


def _record(verb: str, operation: Operation, actor: "Actor", reason: str, **more: Any) -> Operation:
    """Keep what somebody did to an operation, as an operation without targets."""
    return Operation.objects.create(
        verb=verb,
        actor=actor,
        actor_name=actor.get_username(),
        reason=reason,
        parent=operation,
        state=OperationState.FINISHED,
        finished_at=Now(),
        **more,
    )
