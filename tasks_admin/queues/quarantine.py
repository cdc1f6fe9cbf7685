"""Quarantine: purged messages are stored unchanged, and can be restored to their queue.

On Redis one command renames the queue, and the messages are stored from there in batches. On
RabbitMQ they are read one by one. A message that is read again after a crash is stored once. A
target whose message is in quarantine waits until it is restored or expires.
"""

from collections.abc import Callable
from datetime import timedelta

from django.db import transaction
from django.db.models.functions import Now

from tasks_admin.integrations import broker
from tasks_admin.integrations.broker import Payload
from tasks_admin.lib import failpoints
from tasks_admin.lib.conf import settings
from tasks_admin.lib.errors import BrokerUnreachable
from tasks_admin.models import Operation, QuarantinedMessage, Result, Target
from tasks_admin.models.targets import TASK_ID, TargetQuerySet, TargetState, after

#: Messages that one transaction moves.
BATCH_SIZE = 200
#: Seconds for which one dispatcher alone moves messages; a batch takes less.
LEASE = 10.0
#: Seconds until the next attempt when the broker was unreachable.
RETRY_DELAY = 2.0


def purge(operation: Operation) -> int:
    """Move the waiting messages of an operation's queue to quarantine; return how many.

    Raises `BrokerUnreachable`; the dispatcher continues when the broker is reachable again.
    """
    return _perform(operation, _purge)


def restore(operation: Operation) -> int:
    """Restore the messages that the operation's parent purged; return how many."""
    return _perform(operation, _restore)


def delete_expired() -> int:
    """Delete messages older than `QUARANTINE_EXPIRES_DAYS`; return how many.

    Their targets are cancelled, and their unfinished results are marked as revoked.
    """
    days = timedelta(days=settings.QUARANTINE_EXPIRES_DAYS)
    old = QuarantinedMessage.objects.filter(quarantined_at__lt=Now() - days).order_by(
        "quarantined_at"
    )
    count = 0
    while batch := list(old.values_list("pk", "task_id")[:BATCH_SIZE]):
        with transaction.atomic():
            ids = [task_id for _pk, task_id in batch]
            for target in _published(ids):
                target.settle(TargetState.CANCELLED, reason="purged")
            Result.objects.filter(task_id__in=ids).revoke_unfinished()
            count += QuarantinedMessage.objects.filter(pk__in=[pk for pk, _id in batch]).delete()[0]
    return count


def _perform(operation: Operation, move: Callable[..., int]) -> int:
    """Move messages for the due target, which is leased to this dispatcher meanwhile."""
    with transaction.atomic():
        due = operation.targets.all().take_due(1)
        rows = Target.objects.filter(pk__in=[target.pk for target in due])
        rows.update(due_at=after(LEASE))
    try:
        return sum(move(operation, rows, target.subject) for target in due)
    except BrokerUnreachable:
        rows.postpone(RETRY_DELAY, reason="broker")
        raise


def _purge(operation: Operation, rows: TargetQuerySet, queue: str) -> int:
    key, quota = str(operation.key), _staged(operation, queue)
    kept = QuarantinedMessage.objects.filter(operation=operation)
    count = stored_before = kept.count()
    while quota is None or count < quota:
        limit = BATCH_SIZE if quota is None else min(BATCH_SIZE, quota - count)
        with broker.take(queue, key, limit) as payloads:
            count += _store(operation, queue, payloads)
            failpoints.reach("after_quarantine")
        if not payloads:
            break
        rows.update(due_at=after(LEASE))
    rows.settle(TargetState.DONE, detail=str(kept.count()))
    return count - stored_before


def _staged(operation: Operation, queue: str) -> int | None:
    """Return how many messages to take, fixed when the purge starts; None: all staged ones."""
    arguments = operation.arguments or {}
    if "quota" not in arguments:
        arguments["quota"] = broker.stage(queue, str(operation.key))
        Operation.objects.filter(pk=operation.pk).update(arguments=arguments)
    quota: int | None = arguments["quota"]
    return quota


def _store(operation: Operation, queue: str, payloads: list[Payload]) -> int:
    """Store the messages that are not stored yet; return how many.

    Their targets wait for as long as the messages can be restored.
    """
    rows = [
        QuarantinedMessage(
            operation=operation,
            queue=queue,
            priority=payload.priority,
            task_id=payload.task_id.replace("\x00", "")[:255],
            task=payload.task.replace("\x00", "")[:255],
            payload=payload.raw,
            digest=payload.digest,
        )
        for payload in payloads
    ]
    wait = (settings.QUARANTINE_EXPIRES_DAYS + 1) * 86_400.0
    digests = [row.digest for row in rows]
    with transaction.atomic():
        known = QuarantinedMessage.objects.filter(operation=operation, digest__in=digests).count()
        QuarantinedMessage.objects.bulk_create(rows, ignore_conflicts=True)
        for target in _published([row.task_id for row in rows]):
            target.filter(state=TargetState.QUEUED).update(
                due_at=after(wait), queued_at=after(wait), reason="quarantined"
            )
    return len(rows) - known


def _restore(operation: Operation, rows: TargetQuerySet, queue: str) -> int:
    kept = QuarantinedMessage.objects.filter(operation=operation.parent)
    order = "-pk" if broker.restores_first() else "pk"
    count = int(rows.values_list("detail", flat=True).get() or 0)
    restored = 0
    while batch := list(kept.order_by(order)[:BATCH_SIZE]):
        if order == "-pk":
            batch.reverse()
        payloads = [Payload(raw=bytes(row.payload), priority=row.priority) for row in batch]
        broker.put(queue, payloads, f"{operation.key}.{batch[0].pk}")
        failpoints.reach("after_put")
        restored += len(batch)
        with transaction.atomic():
            for target in _published([row.task_id for row in batch]):
                waiting = target.filter(state=TargetState.QUEUED, reason="quarantined")
                lease = after(settings.QUEUE_LEASE)
                waiting.update(due_at=lease, queued_at=Now(), reason="")
            kept.filter(pk__in=[row.pk for row in batch]).delete()
            rows.update(due_at=after(LEASE), detail=str(count + restored))
    rows.settle(TargetState.DONE, detail=str(count + restored))
    return restored


def _published(task_ids: list[str]) -> list[TargetQuerySet]:
    """Return the targets of these tasks, if no later attempt has been published."""
    own = [task_id for task_id in task_ids if TASK_ID.fullmatch(task_id)]
    return [Target.objects.for_current_attempt(task_id) for task_id in own]
