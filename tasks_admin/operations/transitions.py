"""Transitions: how staff change an operation that has not finished."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Case, F, When
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from tasks_admin.lib.errors import NotAllowed, WrongState
from tasks_admin.lib.verbs import ABORT, APPROVE, PAUSE, RESUME, THROTTLE, Verb
from tasks_admin.models.operations import Operation, OperationState
from tasks_admin.models.results import Result
from tasks_admin.models.targets import TargetState
from tasks_admin.operations.permissions import require, still_allowed

if TYPE_CHECKING:
    from django.contrib.auth.models import User as Actor

UNFINISHED = (OperationState.PENDING, OperationState.RUNNING, OperationState.PAUSED)
#: The states that a verb applies to, and the state that it leads to.
TRANSITIONS: dict[str, tuple[tuple[OperationState, ...], OperationState]] = {
    APPROVE: ((OperationState.PENDING,), OperationState.RUNNING),
    PAUSE: ((OperationState.RUNNING,), OperationState.PAUSED),
    RESUME: ((OperationState.PAUSED,), OperationState.RUNNING),
    ABORT: (UNFINISHED, OperationState.ABORTED),
}
#: The property that the operation's verb must declare.
REQUIRED: dict[str, Callable[[Verb], bool]] = {
    PAUSE: lambda verb: verb.interruptible,
    ABORT: lambda verb: verb.interruptible,
    THROTTLE: lambda verb: verb.rate_limited,
}


def is_applicable(operation: Operation, verb: str) -> bool:
    """Whether the operation's state and its own verb allow this."""
    before = UNFINISHED if verb == THROTTLE else TRANSITIONS[verb][0]
    return not operation.is_finished and operation.state in before and _declares(operation, verb)


def _declares(operation: Operation, verb: str) -> bool:
    declared = operation.verb_definition
    return verb not in REQUIRED or (declared is not None and REQUIRED[verb](declared))


def _require_declared(operation: Operation, verb: str) -> None:
    if not _declares(operation, verb):
        text = _("%(operation)s does not support this. Nothing was changed.")
        raise WrongState(text % {"operation": operation})


def pause(*, operation: Operation, actor: "Actor", reason: str) -> Operation:
    """Publish no further targets; running tasks finish."""
    return _move(operation, PAUSE, actor, reason)


def resume(*, operation: Operation, actor: "Actor", reason: str) -> Operation:
    """Continue where the operation was paused.

    Resuming after a failed canary continues without one.
    """
    require(actor, RESUME)
    if not still_allowed(operation):
        raise WrongState(
            _(
                "The user who started %(operation)s no longer has the permission for it. Nothing "
                "was changed. Grant the permission again, or abort this operation."
            )
            % {"operation": operation}
        )
    canary = Case(When(pause_reason="canary", then=False), default=F("canary"))
    return _move(operation, RESUME, actor, reason, pause_reason="", canary=canary)


def approve(*, operation: Operation, actor: "Actor", reason: str) -> Operation:
    """Start an operation that needs another user's approval."""
    require(actor, APPROVE)
    if operation.actor_id == actor.pk:
        raise NotAllowed(_("You cannot approve your own operation. Ask another member of staff."))
    return _move(operation, APPROVE, actor, reason)


def throttle(*, operation: Operation, actor: "Actor", reason: str, rate: int | None) -> Operation:
    """Change how many targets are published each minute; None: no limit."""
    require(actor, THROTTLE)
    _require_declared(operation, THROTTLE)
    with transaction.atomic():
        active = Operation.objects.active().filter(pk=operation.pk, state__in=UNFINISHED)
        if not active.update(rate=rate):
            raise WrongState(
                _("%(operation)s has finished. Nothing was changed.") % {"operation": operation}
            )
        return _record(THROTTLE, operation, actor, reason, rate=rate)


def abort(*, operation: Operation, actor: "Actor", reason: str) -> Operation:
    """Cancel every target that has not started; this cannot be undone."""
    with transaction.atomic():
        record = _move(operation, ABORT, actor, reason)
        cancel_unstarted(operation)
    return record


#: The actions on an operation by name, for pages and commands.
ACTIONS: dict[str, Callable[..., Operation]] = {
    APPROVE: approve,
    PAUSE: pause,
    RESUME: resume,
    THROTTLE: throttle,
    ABORT: abort,
}


def cancel_unstarted(operation: Operation) -> int:
    """Cancel the waiting targets; in an aborted operation a worker may have requeued some."""
    unstarted = operation.targets.filter(state__in=[TargetState.WAITING, TargetState.QUEUED])
    published = [target.task_id for target in unstarted.filter(state=TargetState.QUEUED)]
    count = unstarted.settle(TargetState.CANCELLED, reason="aborted")
    Result.objects.filter(task_id__in=published).revoke_unfinished()
    return count


def _move(operation: Operation, verb: str, actor: "Actor", reason: str, **more: Any) -> Operation:
    """Change an operation's state, and record the action as an operation of its own."""
    require(actor, verb)
    before, after = TRANSITIONS[verb]
    with transaction.atomic():
        active = Operation.objects.active().filter(pk=operation.pk, state__in=before)
        _require_declared(operation, verb)
        if not active.update(state=after, **more):
            operation.refresh_from_db()
            raise WrongState(
                _("%(operation)s is %(state)s. Nothing was changed.")
                % {"operation": operation, "state": operation.get_state_display()}
            )
        operation.state = after
        return _record(verb, operation, actor, reason)


def _record(verb: str, operation: Operation, actor: "Actor", reason: str, **more: Any) -> Operation:
    """Record the action as an operation without targets."""
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
