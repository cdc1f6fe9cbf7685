"""Revoking: what waits is marked where every worker looks before it begins.

Celery tells running workers, which forget it when they end. Here the word is a row. Who looked
before the row was there has begun: all workers are asked what they run once it is there, and the
outcome of a task is written only then.
"""

from datetime import timedelta

from django.db import connections, router, transaction
from django.db.models.functions import Now
from django.utils import timezone

from tasks_admin.integrations import control
from tasks_admin.lib.errors import BrokerUnreachable
from tasks_admin.models import Operation, Result, Revocation, Target
from tasks_admin.models.result_states import NOT_STARTED, ResultState
from tasks_admin.models.targets import TASK_ID, TargetState

#: Tasks revoked in one transaction.
CHUNK = 2_000
#: Seconds until workers that could not be asked are asked again.
AGAIN = 2.0
#: For so long a worker may be silent before it is not known whether it had begun a task.
PATIENCE = timedelta(seconds=30)
_KNOWN = f"SELECT 1 FROM {Revocation._meta.db_table} WHERE task_id = %s"  # noqa: S608 (our own)


def revoked(task_id: str) -> bool:
    """Whether a task must not run. Asked before each task: the ORM would take half of the time."""
    with connections[router.db_for_write(Revocation)].cursor() as cursor:
        cursor.execute(_KNOWN, [task_id])
        return cursor.fetchone() is not None


def fence(task_ids: list[str]) -> None:
    """Keep lost tasks from running after all, because they are queued again under another id."""
    lost = Result.objects.filter(task_id__in=task_ids, status=ResultState.LOST)
    Revocation.objects.bulk_create(
        (
            Revocation(task_id=task_id, revoked_at=Now())
            for task_id in lost.values_list("task_id", flat=True)
        ),
        ignore_conflicts=True,
    )


def carry_out(operation: Operation) -> int:
    """Revoke the tasks that an operation is about; return how many were.

    Raises `BrokerUnreachable` when the workers could not be asked: what is marked stays so, and
    its outcome is written when they can be.
    """
    count = 0
    while targets := _mark(operation):
        try:
            control.revoke(list(targets))
            begun = control.running_task_ids(list(targets))
        except BrokerUnreachable:
            Target.objects.filter(pk__in=targets.values()).postpone(AGAIN, reason="broker")
            raise
        count += _settle(operation, targets, begun)
    return count


def forget(days: int) -> int:
    """Delete revocations older than so many days, whose tasks nobody has queued any more."""
    old = Revocation.objects.filter(revoked_at__lt=Now() - timedelta(days=days))
    return old.delete()[0]


def _mark(operation: Operation) -> dict[str, int]:
    """Mark some tasks as revoked, unless they have begun; return the targets by task id."""
    with transaction.atomic():
        due = operation.targets.all().take_due(CHUNK)
        targets = {target.subject: target.pk for target in due}
        ours = [task_id for task_id in targets if TASK_ID.fullmatch(task_id)]
        begun = {task_id for task_id in ours if not _cancel(task_id)}
        rows = Result.objects.filter(task_id__in=targets.keys() - begun, status__in=NOT_STARTED)
        marked = list(rows.select_for_update().values_list("task_id", flat=True))
        Result.objects.filter(task_id__in=marked).update(
            status=ResultState.REVOKED, date_done=Now()
        )
        Revocation.objects.bulk_create(
            (Revocation(task_id=task_id, revoked_at=Now()) for task_id in marked),
            ignore_conflicts=True,
        )
    return targets


def _cancel(task_id: str) -> bool:
    """Cancel the target that a task was published for; False when a worker has claimed it."""
    newest = Target.objects.for_current_attempt(task_id)
    if newest.filter(state=TargetState.QUEUED).settle(TargetState.CANCELLED, reason="revoked"):
        return True
    return newest.filter(state=TargetState.CANCELLED, reason="revoked").exists()


def _settle(operation: Operation, targets: dict[str, int], begun: set[str] | None) -> int:
    """Write down which tasks are revoked, and which had begun before they were."""
    rows = Target.objects.filter(pk__in=targets.values())
    if begun is None:  # who runs only one thing at a time answers when that has ended
        late = operation.created_at < timezone.now() - PATIENCE
        if not late:
            rows.postpone(AGAIN, reason="no_reply_maybe_started")
            return 0
    seen = targets.keys() & (begun or set())
    Result.objects.filter(task_id__in=seen, status=ResultState.REVOKED).update(
        status=ResultState.STARTED
    )
    Revocation.objects.filter(task_id__in=seen).delete()
    still = Result.objects.filter(task_id__in=targets, status=ResultState.REVOKED)
    revoked = {targets[task_id] for task_id in still.values_list("task_id", flat=True)}
    state = TargetState.DONE if begun is not None else TargetState.UNKNOWN
    reason = "" if begun is not None else "no_reply_maybe_started"
    rows.filter(pk__in=revoked).settle(state, reason=reason)
    others = set(targets.values()) - revoked
    rows.filter(pk__in=others).settle(TargetState.SKIPPED, reason="started")
    return len(revoked)
