"""Ending: an operation is over when every target has an outcome."""

from django.db import transaction
from django.db.models import CharField, Exists, OuterRef, Value
from django.db.models.functions import Cast, Now

from tasks_admin.lib.conf import settings
from tasks_admin.lib.verbs import SEND_SUMMARY
from tasks_admin.models.operations import Operation, OperationState
from tasks_admin.models.targets import OPEN, Target
from tasks_admin.operations.start import Rows, Selection, start


def finish_ended() -> int:
    """Bring operations to their end whose targets all have an outcome; return how many."""
    has_open = Target.objects.filter(operation=OuterRef("pk"), state__in=OPEN)
    waiting = [OperationState.PAUSED, OperationState.PENDING]
    over = Operation.objects.going().exclude(state__in=waiting).filter(~Exists(has_open))
    count = 0
    for operation in over:
        state = operation.state
        if state == OperationState.RUNNING:
            state = OperationState.FINISHED
        guard = Operation.objects.going().filter(pk=operation.pk, state=operation.state)
        with transaction.atomic():
            ended = guard.update(state=state, tally=dict(operation.counts()), finished_at=Now())
            if ended:
                _tell(operation)
        count += ended
    return count


def _tell(operation: Operation) -> None:
    """Queue a mail to the member of staff who started it."""
    meaning = operation.meaning
    if not (settings.MAIL_SUMMARY and operation.actor_id and meaning and meaning.permission):
        return
    if meaning.about not in {"user", "result"}:  # done in seconds, before the eyes of who did it
        return
    this = Operation.objects.filter(pk=operation.pk)
    columns = this.annotate(subject=Cast("pk", CharField()), hold=Cast(Value(None), CharField()))
    rows: Rows = columns.values_list("subject", "hold")
    start(
        verb=SEND_SUMMARY,
        selection=Selection(rows=rows, left_out={}),
        actor=operation.actor,
        parent=operation,
    )
