"""Quarantine: what was purged from a queue is kept as it was, and can be put back.

Redis gives up all that waits in one step, under another name; it is stored from there, some at a
time. RabbitMQ gives it out message by message. What is taken again after a crash is stored once.
A target whose message is here goes on waiting for it.
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

#: Messages moved at a time.
BITE = 200
#: Seconds for which only one dispatcher moves messages; a bite takes less.
TURN = 10.0
#: Seconds until a broker that was away is asked again.
AGAIN = 2.0


def purge(operation: Operation) -> int:
    """Move what waited in the queue of an operation to quarantine; return how many were moved.

    Raises `BrokerUnreachable`: it goes on when the broker is back.
    """
    return _perform(operation, _purge)


def restore(operation: Operation) -> int:
    """Put back what the operation's parent purged; return how many were put back."""
    return _perform(operation, _restore)


def forget() -> int:
    """Give up what has been here for `QUARANTINE_EXPIRES_DAYS`; return how many."""
    days = timedelta(days=settings.QUARANTINE_EXPIRES_DAYS)
    old = QuarantinedMessage.objects.filter(quarantined_at__lt=Now() - days).order_by(
        "quarantined_at"
    )
    count = 0
    while bite := list(old.values_list("pk", "task_id")[:BITE]):
        with transaction.atomic():
            ids = [task_id for _pk, task_id in bite]
            for target in _published(ids):
                target.settle(TargetState.CANCELLED, reason="purged")
            Result.objects.filter(task_id__in=ids).revoke_unfinished()
            count += QuarantinedMessage.objects.filter(pk__in=[pk for pk, _id in bite]).delete()[0]
    return count


def _perform(operation: Operation, act: Callable[..., int]) -> int:
    """Perform it for the due target, which no other dispatcher takes meanwhile."""
    with transaction.atomic():
        due = operation.targets.all().take_due(1)
        rows = Target.objects.filter(pk__in=[target.pk for target in due])
        rows.update(due_at=after(TURN))
    try:
        return sum(act(operation, rows, target.subject) for target in due)
    except BrokerUnreachable:
        rows.postpone(AGAIN, reason="broker")
        raise


def _purge(operation: Operation, rows: TargetQuerySet, queue: str) -> int:
    key, quota = str(operation.key), _staged(operation, queue)
    kept = QuarantinedMessage.objects.filter(operation=operation)
    count = begun = kept.count()
    while quota is None or count < quota:
        most = BITE if quota is None else min(BITE, quota - count)
        with broker.take(queue, key, most) as payloads:
            count += _keep(operation, queue, payloads)
            failpoints.reach("after_quarantine")
        if not payloads:
            break
        rows.update(due_at=after(TURN))
    rows.settle(TargetState.DONE, detail=str(kept.count()))
    return count - begun


def _staged(operation: Operation, queue: str) -> int | None:
    """How many are to be taken, decided once; None: all that is staged."""
    notes = operation.arguments or {}
    if "quota" not in notes:
        notes["quota"] = broker.stage(queue, str(operation.key))
        Operation.objects.filter(pk=operation.pk).update(arguments=notes)
    quota: int | None = notes["quota"]
    return quota


def _keep(operation: Operation, queue: str, payloads: list[Payload]) -> int:
    """Store the messages that are not stored yet; return how many these were.

    The targets among them wait as long as they can be put back.
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
    put = 0
    while bite := list(kept.order_by(order)[:BITE]):
        if order == "-pk":
            bite.reverse()
        payloads = [Payload(raw=bytes(row.payload), priority=row.priority) for row in bite]
        broker.put(queue, payloads, f"{operation.key}.{bite[0].pk}")
        failpoints.reach("after_put")
        put += len(bite)
        with transaction.atomic():
            for target in _published([row.task_id for row in bite]):
                waiting = target.filter(state=TargetState.QUEUED, reason="quarantined")
                lease = after(settings.QUEUE_LEASE)
                waiting.update(due_at=lease, queued_at=Now(), reason="")
            kept.filter(pk__in=[row.pk for row in bite]).delete()
            rows.update(due_at=after(TURN), detail=str(count + put))
    rows.settle(TargetState.DONE, detail=str(count + put))
    return put


def _published(task_ids: list[str]) -> list[TargetQuerySet]:
    """The targets that these tasks were published for, while those attempts are the newest."""
    ours = [task_id for task_id in task_ids if TASK_ID.fullmatch(task_id)]
    return [Target.objects.for_current_attempt(task_id) for task_id in ours]
