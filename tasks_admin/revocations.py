"""Revoking: what waits is marked where every worker looks before it begins.

Celery tells running workers, which forget it when they end. Here the word is a row. Both sides
write the result's row before they look at the other's: who revokes marks it `REVOKED` unless it
has begun, and who begins marks it `STARTED` unless it was revoked. One of the two comes first.
"""

import logging
from datetime import timedelta

from django.db import connection, transaction
from django.db.models.functions import Now

from tasks_admin import control
from tasks_admin.errors import BrokerUnreachable
from tasks_admin.models import Operation, Result, Revocation, Target
from tasks_admin.models.targets import TASK_ID, TargetState

logger = logging.getLogger(__name__)

#: Tasks revoked in one transaction.
CHUNK = 500
#: The states of what has not begun. `RETRY` waits to be begun again.
UNBEGUN = ("PENDING", "RECEIVED", "RETRY", "LOST")


def revoked(task_id: str) -> bool:
    """Whether a task must not run."""
    return Revocation.objects.filter(task_id=task_id).exists()


def carry_out(operation: Operation) -> int:
    """Revoke the tasks that an operation is about; return how many were."""
    count = 0
    while (chunk := _chunk(operation)) is not None:
        count += len(chunk)
        _tell_workers(chunk)
    return count


def forget(days: int) -> int:
    """Delete revocations older than so many days, whose tasks nobody has queued any more."""
    old = Revocation.objects.filter(revoked_at__lt=Now() - timedelta(days=days))
    return old.delete()[0]


def _chunk(operation: Operation) -> list[str] | None:
    """Revoke some, and settle the targets that stand for them; None when none is left."""
    with transaction.atomic():
        skip = connection.features.has_select_for_update_skip_locked
        waiting = operation.targets.next().select_for_update(skip_locked=skip)
        targets = dict(waiting.values_list("subject", "pk")[:CHUNK])
        marked = [task_id for task_id in targets if _mark(task_id)]
        rows = [Revocation(task_id=task_id, revoked_at=Now()) for task_id in marked]
        Revocation.objects.bulk_create(rows, ignore_conflicts=True)
        done = [targets[task_id] for task_id in marked]
        others = [pk for task_id, pk in targets.items() if pk not in set(done)]
        Target.objects.filter(pk__in=done).settle(TargetState.DONE)
        Target.objects.filter(pk__in=others).settle(TargetState.SKIPPED, reason="begun")
    return marked if targets else None


def _mark(task_id: str) -> bool:
    """Mark one result, and the target that it was run for; False when it has begun."""
    unbegun = Result.objects.filter(task_id=task_id, status__in=UNBEGUN)
    if TASK_ID.fullmatch(task_id):
        own = Target.objects.of_task(task_id).filter(state=TargetState.QUEUED)
        if not own.settle(TargetState.CANCELLED, reason="revoked"):
            return False
    return bool(unbegun.update(status="REVOKED", date_done=Now()))


def _tell_workers(task_ids: list[str]) -> None:
    """Let workers drop at once what they would refuse later; nothing depends on it."""
    try:
        control.revoke(task_ids)
    except BrokerUnreachable:
        logger.info("Workers were not told of revoked tasks; they will see it in the database.")
