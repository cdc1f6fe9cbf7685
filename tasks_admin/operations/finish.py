"""Finishing: an operation is finished when every target has an outcome."""

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from tasks_admin.models.operations import Operation, OperationState
from tasks_admin.models.targets import OPEN, Target
from tasks_admin.operations.notifications import queue_notifications


def finish_ended() -> int:
    """Finish the operations whose targets all have an outcome; return how many."""
    has_open = Target.objects.filter(operation=OuterRef("pk"), state__in=OPEN)
    waiting = [OperationState.PAUSED, OperationState.PENDING]
    ended = Operation.objects.active().exclude(state__in=waiting).filter(~Exists(has_open))
    return sum(_finish(operation) for operation in ended)


def _finish(operation: Operation) -> int:
    """Finish one operation and queue its notifications; 0 when another dispatcher was first."""
    state = operation.state
    if state == OperationState.RUNNING:
        state = OperationState.FINISHED
    guard = Operation.objects.active().filter(pk=operation.pk, state=operation.state)
    with transaction.atomic():
        counts = dict(operation.counts())
        finished = guard.update(state=state, outcome_counts=counts, finished_at=Now())
        if finished:
            queue_notifications(operation)
    return finished
