"""Claims: a task runs only in the process that has claimed its target."""

import uuid

from django.db.models.functions import Now

from tasks_admin.integrations import database
from tasks_admin.models.operations import Operation, OperationState
from tasks_admin.models.results import Result
from tasks_admin.models.targets import Target, TargetState
from tasks_admin.operations.confirmation import Confirmation
from tasks_admin.operations.start import Rows, Selection, start


def claim(task_id: str, lease: float) -> bool:
    """Claim the target of a task for this process; False when the task must not run.

    Raises `LookupError` when the task belongs to no operation.
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
    """Requeue the target of a task that could not start: the database was unavailable."""
    newest = Target.objects.for_current_attempt(task_id)
    database.retry_until_available(lambda: newest.requeue(1.0, reason="database"))


def adopt(*, verb: str, rows: Rows, task_id: str, lease: float) -> Target | None:
    """Record a task that another program queued as an operation of one target, and claim it.

    A redelivery finds the same target. Returns None when the task must not run now.
    """
    key = uuid.uuid5(uuid.NAMESPACE_OID, task_id)
    operation = Operation.objects.filter(key=key).first() or start(
        verb=verb,
        selection=Selection(rows=rows, excluded={}),
        confirmation=Confirmation(key=key),
        may_be_empty=True,
    )
    first = operation.targets.filter(attempt=0, state=TargetState.WAITING)
    if not first.update(attempt=1, state=TargetState.QUEUED, due_at=Now(), queued_at=Now()):
        return None
    target = operation.targets.select_related("operation").get()
    return target if operation.targets.filter(attempt=1).claim(lease) else None
