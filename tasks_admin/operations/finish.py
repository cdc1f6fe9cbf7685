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
    over = Operation.objects.active().exclude(state__in=waiting).filter(~Exists(has_open))
    count = 0
    for operation in over:
        state = operation.state
        if state == OperationState.RUNNING:
            state = OperationState.FINISHED
        guard = Operation.objects.active().filter(pk=operation.pk, state=operation.state)
        with transaction.atomic():
            ended = guard.update(
                state=state, outcome_counts=dict(operation.counts()), finished_at=Now()
            )
            if ended:
                _tell(operation)
        count += ended
    return count


def _tell(operation: Operation) -> None:
    """Queue a mail to the member of staff who started it."""
    verb_definition = operation.verb_definition
    if not (
        settings.MAIL_SUMMARY
        and operation.actor_id
        and verb_definition
        and verb_definition.permission
    ):
        return
    if verb_definition.target_type not in {
        "user",
        "result",
    }:  # done in seconds, before the eyes of who did it
        return
    this = Operation.objects.filter(pk=operation.pk)
    columns = this.annotate(
        subject=Cast("pk", CharField()), lock_key=Cast(Value(None), CharField())
    )
    rows: Rows = columns.values_list("subject", "lock_key")
    start(
        verb=SEND_SUMMARY,
        selection=Selection(rows=rows, excluded={}),
        actor=operation.actor,
        parent=operation,
    )
