"""What comes back: targets whose message got lost on the way, or whose process died."""

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

#: Rows looked at in one round.
CHUNK = 500
#: Seconds until a broker that was away is asked again.
AGAIN = 2.0
#: Two messages published so shortly after each other may be taken in either order.
MARGIN = timedelta(seconds=5)


def bring_back(operation: Operation) -> None:
    """Let wait again what got lost on the way, or with the process that ran it."""
    died = list(operation.targets.overdue(TargetState.RUNNING)[:CHUNK])
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
    """Store that it failed, and count that like any failure."""
    with transaction.atomic():
        if Result.objects.filter(task_id=task_id).fail_crashed():
            failures.record_failure(task_id=task_id, task="", result=WORKER_LOST, traceback=None)


def lost(operation: Operation) -> list[Target]:
    """Those that were published and will not be run.

    A queue is served in order. So a message is lost when a later one was taken from its queue, or
    none is left in there. Else it waits its turn, and its lease goes on.
    """
    overdue = operation.targets.overdue(TargetState.QUEUED)
    _let_wait(operation, overdue)
    ancient = Q(queued_at=None)
    ancient |= Q(queued_at__lt=Now() - timedelta(seconds=settings.QUEUE_LEASE_MAX))
    gone = list(overdue.filter(ancient)[:CHUNK])
    others = list(overdue.exclude(ancient).order_by("queued_at")[:CHUNK])
    if not others:
        return gone
    queues = _queues(operation, others)
    try:
        left = broker.waiting(set(queues.values()))
    except BrokerUnreachable:  # the page says so of what waits
        overdue.filter(pk__in=[t.pk for t in others]).requeue(AGAIN, reason="broker")
        raise
    taken = _taken(operation, since=others[0].queued_at)
    for target in others:
        queue = queues.get(target.pk, "")
        if left.get(queue) == 0 or (queue in taken and target.queued_at < taken[queue] - MARGIN):
            gone.append(target)
    patient = overdue.filter(pk__in={t.pk for t in others} - {t.pk for t in gone})
    patient.update(due_at=after(settings.QUEUE_LEASE / 2))
    return gone


def _let_wait(operation: Operation, overdue: TargetQuerySet) -> None:
    """Let what lies in a paused queue lie there, however long."""
    paused = set(Queue.objects.desired()[0])
    if not paused:
        return
    queues = _queues(operation, list(overdue.order_by("queued_at")[:CHUNK]))
    held = [pk for pk, queue in queues.items() if queue in paused]
    overdue.filter(pk__in=held).update(due_at=after(settings.QUEUE_LEASE))


def _taken(operation: Operation, *, since: Any) -> dict[str, Any]:
    """When the newest message that was taken from each queue had been published."""
    begun = Q(state=TargetState.RUNNING) | Q(finished_at__gt=since)
    taken = operation.targets.filter(begun, queued_at__gt=since, started_at__gte=F("queued_at"))
    newest = list(taken.order_by("-queued_at")[:CHUNK])
    queues = _queues(operation, newest)
    return {queues[t.pk]: t.queued_at for t in reversed(newest) if t.pk in queues}


def _queues(operation: Operation, targets: list[Target]) -> dict[int, str]:
    """The queue of each target's message, by the target's key."""
    pairs = messages(operation, targets)
    return {target.pk: message.queue for target, message in pairs if message}
