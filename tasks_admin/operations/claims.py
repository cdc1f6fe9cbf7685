"""Claiming: a task runs only for who holds its target."""

import uuid

from django.db.models.functions import Now

from tasks_admin.integrations import database
from tasks_admin.models.operations import Operation, OperationState
from tasks_admin.models.results import Result
from tasks_admin.models.targets import Target, TargetState
from tasks_admin.operations.start import Rows, Selection, start


def claim(task_id: str, lease: float) -> bool:
    """Take the target of a task for this process; False when it is not to be run (any more).

    Raises `LookupError` when the task belongs to no operation at all.
    """
    newest = Target.objects.for_current_attempt(task_id)
    if newest.claim(lease):
        return True
    target = Target.objects.for_task_id(task_id).select_related("operation").first()
    if target is None:
        raise LookupError(task_id)
    if target.operation.state == OperationState.PAUSED:
        newest.filter(state=TargetState.QUEUED).requeue(0)
    if target.task_id != task_id or target.state != TargetState.RUNNING:
        Result.objects.filter(task_id=task_id).revoke_unfinished()
    return False


def postpone(task_id: str) -> None:
    """Let a target wait again whose task could not begin: the database was away."""
    newest = Target.objects.for_current_attempt(task_id)
    database.retry_until_available(lambda: newest.requeue(1.0, reason="database"))


def adopt(*, verb: str, rows: Rows, task_id: str, lease: float) -> Target | None:
    """Record what another program queued as an operation of one target, and claim it.

    Delivered again, the same task id finds the same target; None when it is not to be run now.
    """
    key = uuid.uuid5(uuid.NAMESPACE_OID, task_id)
    operation = Operation.objects.filter(key=key).first() or start(
        verb=verb, selection=Selection(rows=rows, excluded={}), key=key, may_be_empty=True
    )
    first = operation.targets.filter(attempt=0, state=TargetState.WAITING)
    if not first.update(attempt=1, state=TargetState.QUEUED, due_at=Now(), queued_at=Now()):
        return None
    target = operation.targets.select_related("operation").get()
    return target if operation.targets.filter(attempt=1).claim(lease) else None
