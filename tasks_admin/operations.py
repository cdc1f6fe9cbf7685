"""Operations: started in one transaction, frozen, claimed by workers, brought to an end."""

import hashlib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from tasks_admin import database
from tasks_admin.errors import NotAllowed, NothingToDo, SelectionChanged, WrongState
from tasks_admin.models.operations import Operation, OperationState
from tasks_admin.models.results import Result
from tasks_admin.models.targets import OPEN, Target, TargetState
from tasks_admin.verbs import VERBS

if TYPE_CHECKING:
    from django.contrib.auth.models import User as Actor

#: Keys read at a time.
CHUNK = 5000
#: Rows of (subject, hold).
Rows = QuerySet[Any, tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What an act is about to be done to."""

    rows: Rows
    #: How many are left out, by reason.
    left_out: Mapping[str, int]

    def fingerprint(self) -> str:
        """Name this very set of rows. Reads the keys, one by one."""
        return fingerprint(subject for subject, _hold in self.rows.order_by().iterator(CHUNK))


def fingerprint(subjects: Iterable[str]) -> str:
    """Name a set of subjects, in whatever order they come: `COUNT:DIGEST`."""
    count = total = 0
    for count, subject in enumerate(subjects, 1):  # noqa: B007 (the last count is the count)
        total += int.from_bytes(hashlib.sha256(subject.encode()).digest()[:16], "big")
    return f"{count}:{total % 2**128:032x}"


def require(actor: "Actor", verb: str) -> None:
    """Raise `NotAllowed` unless the actor is active and holds the verb's permission."""
    if not (actor.is_active and actor.has_perm(VERBS[verb].full_permission)):
        raise NotAllowed(
            _("You lack the permission to do this (%(permission)s). Ask an administrator for it.")
            % {"permission": VERBS[verb].full_permission}
        )


def start(
    *,
    verb: str,
    selection: Selection,
    actor: "Actor | None" = None,
    reason: str = "",
    key: uuid.UUID | None = None,
    shown: str | None = None,
    parent: Operation | None = None,
    may_be_empty: bool = False,
) -> Operation:
    """Record the operation and freeze its targets; the database alone is touched.

    `key` names the confirmation: the second start with the same key returns the first operation.
    `shown` is the fingerprint of what the actor saw. Raises `SelectionChanged` when the rows are
    no longer those, and `NothingToDo` when there are none; nothing is recorded then.
    """
    key = key or uuid.uuid4()
    same = Operation.objects.filter(key=key, verb=verb, actor=actor)
    if existing := same.first():
        return existing
    try:
        with transaction.atomic():
            operation = Operation.objects.create(
                key=key,
                verb=verb,
                actor=actor,
                actor_name=actor.get_username() if actor else "",
                reason=reason,
                left_out=dict(selection.left_out),
                parent=parent,
            )
            operation.total = Target.objects.freeze(operation, selection.rows)
            if shown is not None and _frozen(operation) != shown:
                raise SelectionChanged(
                    _("The rows that match have changed since the page was shown. Look again.")
                )
            if not (operation.total or may_be_empty):
                raise NothingToDo(_("Nothing is left to do: every row was left out."))
            operation.save(update_fields=["total"])
    except IntegrityError:
        if existing := same.first():  # the same confirmation, posted at the same moment
            return existing
        if not Operation.objects.filter(key=key).exists():
            raise
        text = _("This confirmation was used for something else. Select again.")
        raise WrongState(text) from None
    return operation


def _frozen(operation: Operation) -> str:
    """The fingerprint of what was frozen: what was shown, unless the rows changed since."""
    subjects = operation.targets.order_by().values_list("subject", flat=True)
    return fingerprint(subjects.iterator(CHUNK))


#: From which states to which state a verb takes an operation.
MOVES: dict[str, tuple[tuple[OperationState, ...], OperationState]] = {
    "pause": ((OperationState.RUNNING,), OperationState.PAUSED),
    "resume": ((OperationState.PAUSED,), OperationState.RUNNING),
    "abort": ((OperationState.RUNNING, OperationState.PAUSED), OperationState.ABORTED),
}


def can(operation: Operation, verb: str) -> bool:
    """Whether the operation is in a state in which this can be done."""
    return not operation.over and operation.state in MOVES[verb][0]


def pause(*, operation: Operation, actor: "Actor", reason: str) -> Operation:
    """Stop new work; what a worker has begun is finished."""
    return _move(operation, "pause", actor, reason)


def resume(*, operation: Operation, actor: "Actor", reason: str) -> Operation:
    """Go on where it was paused."""
    return _move(operation, "resume", actor, reason)


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
    Result.objects.filter(task_id__in=published).discard()
    return count


def _move(operation: Operation, verb: str, actor: "Actor", reason: str) -> Operation:
    """Change an operation's state, and record who did it as an operation too."""
    require(actor, verb)
    before, after = MOVES[verb]
    with transaction.atomic():
        going = Operation.objects.going().filter(pk=operation.pk, state__in=before)
        if not going.update(state=after):
            operation.refresh_from_db()
            raise WrongState(
                _("%(operation)s is %(state)s: nothing was changed.")
                % {"operation": operation, "state": operation.get_state_display()}
            )
        operation.state = after
        return Operation.objects.create(
            verb=verb,
            actor=actor,
            actor_name=actor.get_username(),
            reason=reason,
            parent=operation,
            state=OperationState.FINISHED,
            finished_at=Now(),
        )


def claim(task_id: str, lease: float) -> bool:
    """Take the target of a task for this process; False when it is not to be run (any more).

    Raises `LookupError` when the task belongs to no operation at all.
    """
    newest = Target.objects.of_task(task_id)
    if newest.claim(lease):
        return True
    target = Target.objects.named(task_id).select_related("operation").first()
    if target is None:
        raise LookupError(task_id)
    if target.operation.state == OperationState.PAUSED:
        newest.filter(state=TargetState.QUEUED).put_back(0)
    if target.task_id != task_id or target.state != TargetState.RUNNING:
        Result.objects.filter(task_id=task_id).discard()
    return False


def postpone(task_id: str) -> None:
    """Let a target wait again whose task could not begin: the database was away."""
    newest = Target.objects.of_task(task_id)
    database.insist(lambda: newest.put_back(1.0, reason="database"))


def adopt(*, verb: str, rows: Rows, task_id: str, lease: float) -> Target | None:
    """Record what another program queued as an operation of one target, and claim it.

    Delivered again, the same task id finds the same target; None when it is not to be run now.
    """
    key = uuid.uuid5(uuid.NAMESPACE_OID, task_id)
    operation = Operation.objects.filter(key=key).first() or start(
        verb=verb, selection=Selection(rows=rows, left_out={}), key=key, may_be_empty=True
    )
    first = operation.targets.filter(attempt=0, state=TargetState.WAITING)
    if not first.update(attempt=1, state=TargetState.QUEUED, due_at=Now()):
        return None
    target = operation.targets.select_related("operation").get()
    return target if operation.targets.filter(attempt=1).claim(lease) else None


def still_allowed(operation: Operation) -> bool:
    """Whether who started the operation may still do so: rights can be lost on the way."""
    meaning, actor = operation.meaning, operation.actor
    if meaning is None or not meaning.permission:
        return True
    return bool(actor and actor.is_active and actor.has_perm(meaning.full_permission))


def finish_ended() -> int:
    """Bring operations to their end whose targets all have an outcome; return how many."""
    has_open = Target.objects.filter(operation=OuterRef("pk"), state__in=OPEN)
    ended = Operation.objects.going().exclude(state=OperationState.PAUSED)
    count = 0
    for operation in ended.filter(~Exists(has_open)):
        state = operation.state
        if state == OperationState.RUNNING:
            state = OperationState.FINISHED
        guard = Operation.objects.going().filter(pk=operation.pk, state=operation.state)
        count += guard.update(state=state, tally=dict(operation.counts()), finished_at=Now())
    return count
