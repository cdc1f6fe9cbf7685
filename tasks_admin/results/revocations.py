"""Revocations: rows that mark tasks as revoked; every worker checks them before it starts a task.

Celery notifies the running workers only, and a worker loses its list when it stops. A row is
permanent. A worker that checked before the row existed has started the task: therefore all workers
are asked which of the tasks they run once the rows exist, and the outcomes are written only then.
"""

from collections.abc import Iterable
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
BATCH_SIZE = 2_000
#: Seconds until the workers are asked again after they could not be reached.
RETRY_DELAY = 2.0
#: The time after which a missing reply makes the outcome unknown.
REPLY_TIMEOUT = timedelta(seconds=30)
_EXISTS = f"SELECT 1 FROM {Revocation._meta.db_table} WHERE task_id = %s"  # noqa: S608 (our own)


def is_revoked(task_id: str) -> bool:
    """Whether a task must not run. Called before each task: the ORM would take twice as long."""
    with connections[router.db_for_write(Revocation)].cursor() as cursor:
        cursor.execute(_EXISTS, [task_id])
        return cursor.fetchone() is not None


def revoke_lost(task_ids: list[str]) -> None:
    """Revoke the lost ones of these tasks before they are retried: their messages may reappear."""
    lost = Result.objects.filter(task_id__in=task_ids, status=ResultState.LOST)
    insert(lost.values_list("task_id", flat=True))


def insert(task_ids: Iterable[str]) -> None:
    """Insert the rows that do not exist."""
    rows = (Revocation(task_id=task_id, revoked_at=Now()) for task_id in task_ids)
    Revocation.objects.bulk_create(rows, ignore_conflicts=True)


def execute(operation: Operation) -> int:
    """Revoke the targets of an operation; return how many were revoked.

    Raises `BrokerUnreachable` if the workers could not be asked: the tasks stay revoked, and the
    outcomes are written once the workers reply.
    """
    count = 0
    while targets := _revoke_batch(operation):
        try:
            control.revoke(list(targets))
            running = control.running_task_ids(list(targets))
        except BrokerUnreachable:
            Target.objects.filter(pk__in=targets.values()).postpone(RETRY_DELAY, reason="broker")
            raise
        count += _settle(operation, targets, running)
    return count


def delete_expired(days: int) -> int:
    """Delete the rows that are older than this; no message of their tasks exists any more."""
    old = Revocation.objects.filter(revoked_at__lt=Now() - timedelta(days=days))
    return old.delete()[0]


def _revoke_batch(operation: Operation) -> dict[str, int]:
    """Revoke the next due targets unless they have started; return their keys by task id."""
    with transaction.atomic():
        due = operation.targets.all().take_due(BATCH_SIZE)
        targets = {target.subject: target.pk for target in due}
        # Some may be targets of other operations.
        started = {task_id for task_id in targets if TASK_ID.fullmatch(task_id)}
        started = {task_id for task_id in started if not _cancel_target(task_id)}
        rows = Result.objects.filter(task_id__in=targets.keys() - started, status__in=NOT_STARTED)
        revoked = list(rows.select_for_update().values_list("task_id", flat=True))
        Result.objects.filter(task_id__in=revoked).update(
            status=ResultState.REVOKED, date_done=Now()
        )
        insert(revoked)
    return targets


def _cancel_target(task_id: str) -> bool:
    """Cancel the target for which a task was published; False if a worker has claimed it."""
    current = Target.objects.for_current_attempt(task_id)
    if current.filter(state=TargetState.QUEUED).settle(TargetState.CANCELLED, reason="revoked"):
        return True
    return current.filter(state=TargetState.CANCELLED, reason="revoked").exists()


def _settle(operation: Operation, targets: dict[str, int], running: set[str] | None) -> int:
    """Write the outcomes: revoked, or started before that; return how many were revoked."""
    rows = Target.objects.filter(pk__in=targets.values())
    # A worker with a solo pool replies only when its task has finished.
    if running is None and operation.created_at >= timezone.now() - REPLY_TIMEOUT:
        rows.postpone(RETRY_DELAY, reason="no_reply_maybe_started")
        return 0
    started = targets.keys() & (running or set())
    Result.objects.filter(task_id__in=started, status=ResultState.REVOKED).update(
        status=ResultState.STARTED
    )
    Revocation.objects.filter(task_id__in=started).delete()
    still_revoked = Result.objects.filter(task_id__in=targets, status=ResultState.REVOKED)
    revoked = {targets[task_id] for task_id in still_revoked.values_list("task_id", flat=True)}
    state = TargetState.DONE if running is not None else TargetState.UNKNOWN
    reason = "" if running is not None else "no_reply_maybe_started"
    rows.filter(pk__in=revoked).settle(state, reason=reason)
    others = set(targets.values()) - revoked
    rows.filter(pk__in=others).settle(TargetState.SKIPPED, reason="started")
    return len(revoked)
