"""Recovery: requeue targets whose message was lost or whose process died."""

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from tasks_admin.dispatcher.messages import messages
from tasks_admin.integrations import broker
from tasks_admin.lib.conf import settings
from tasks_admin.lib.errors import BrokerUnreachable
from tasks_admin.models import Operation, Queue, Result, Target
from tasks_admin.models.stored_exceptions import WORKER_LOST
from tasks_admin.models.targets import TargetQuerySet, TargetState, after
from tasks_admin.results import failures

#: Targets examined in one sweep.
BATCH_SIZE = 500
#: Seconds until an unavailable broker is tried again.
RETRY_DELAY = 2.0
#: Messages published within this time may be consumed in either order.
ORDER_TOLERANCE = timedelta(seconds=5)


def recover(operation: Operation) -> None:
    """Requeue the targets whose message was lost, or whose process died while running them."""
    died = list(operation.targets.overdue(TargetState.RUNNING)[:BATCH_SIZE])
    for target in lost(operation):
        target.operation = operation
        if Target.objects.for_current_attempt(target.task_id).due().requeue(0):
            Result.objects.filter(task_id=target.task_id).revoke_unfinished()
    for target, message in messages(operation, died):
        newest = Target.objects.for_current_attempt(target.task_id).due()
        again = message is not None and broker.may_run_again(message.task)
        if newest.settle_crashed(again=again) and again:
            if target.crashes < settings.MAX_CRASHES - 1:
                Result.objects.filter(task_id=target.task_id).revoke_unfinished()
            else:
                _fail(target.task_id)


def _fail(task_id: str) -> None:
    """Store the failure, and count it in its failure group."""
    with transaction.atomic():
        if Result.objects.filter(task_id=task_id).fail_crashed():
            failures.record_failure(task_id=task_id, task="", result=WORKER_LOST, traceback=None)


def lost(operation: Operation) -> list[Target]:
    """The published targets that no worker will run.

    A queue is consumed in order: a message is lost when a later one has been consumed from its
    queue, or when the queue is empty. Otherwise it waits, and its lease is extended.
    """
    overdue = operation.targets.overdue(TargetState.QUEUED)
    _extend_paused(operation, overdue)
    expired = Q(queued_at=None)
    expired |= Q(queued_at__lt=Now() - timedelta(seconds=settings.QUEUE_LEASE_MAX))
    gone = list(overdue.filter(expired)[:BATCH_SIZE])
    others = list(overdue.exclude(expired).order_by("queued_at")[:BATCH_SIZE])
    if not others:
        return gone
    queues = _queues(operation, others)
    try:
        remaining = broker.count_waiting(set(queues.values()))
    except BrokerUnreachable:  # the operation's page shows the reason
        overdue.filter(pk__in=[t.pk for t in others]).requeue(RETRY_DELAY, reason="broker")
        raise
    consumed = _consumed(operation, since=others[0].queued_at)
    for target in others:
        queue = queues.get(target.pk, "")
        if remaining.get(queue) == 0 or (
            queue in consumed and target.queued_at < consumed[queue] - ORDER_TOLERANCE
        ):
            gone.append(target)
    waiting = overdue.filter(pk__in={t.pk for t in others} - {t.pk for t in gone})
    waiting.update(due_at=after(settings.QUEUE_LEASE / 2))
    return gone


def _extend_paused(operation: Operation, overdue: TargetQuerySet) -> None:
    """Extend the leases of messages in paused queues, which may wait indefinitely."""
    paused = set(Queue.objects.paused_names()[0])
    if not paused:
        return
    queues = _queues(operation, list(overdue.order_by("queued_at")[:BATCH_SIZE]))
    held = [pk for pk, queue in queues.items() if queue in paused]
    overdue.filter(pk__in=held).update(due_at=after(settings.QUEUE_LEASE))


def _consumed(operation: Operation, *, since: Any) -> dict[str, Any]:
    """The publishing time of the newest consumed message, by queue."""
    started = Q(state=TargetState.RUNNING) | Q(finished_at__gt=since)
    consumed = operation.targets.filter(
        started, queued_at__gt=since, started_at__gte=F("queued_at")
    )
    newest = list(consumed.order_by("-queued_at")[:BATCH_SIZE])
    queues = _queues(operation, newest)
    return {queues[t.pk]: t.queued_at for t in reversed(newest) if t.pk in queues}


def _queues(operation: Operation, targets: list[Target]) -> dict[int, str]:
    """The queue of each target's message, by the target's key."""
    pairs = messages(operation, targets)
    return {target.pk: message.queue for target, message in pairs if message}
