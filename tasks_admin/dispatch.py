"""The dispatcher's work: publish what is due, bring back what got lost, end what is done.

Any number of dispatchers may do this at once: rows are taken with SKIP LOCKED where the database
has it, and by one writer at a time where it has not (SQLite).
"""

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now

from tasks_admin import (
    broker,
    database,
    failpoints,
    failures,
    operations,
    pace,
    quarantine,
    revocations,
    terminations,
)
from tasks_admin.broker import Message
from tasks_admin.conf import settings
from tasks_admin.errors import BrokerUnreachable, QueueFull
from tasks_admin.models import Operation, Result, Target
from tasks_admin.models.operations import OperationState
from tasks_admin.models.results import DIED, Verdict
from tasks_admin.models.targets import TargetState, after
from tasks_admin.verbs import (
    PURGE_QUEUE,
    RESTORE_QUEUE,
    RETRIES,
    REVOKE,
    RUN_PERIODIC,
    TERMINATE,
    WHOLE,
)

logger = logging.getLogger(__name__)
#: What is done here, and not by publishing a task for each target.
CARRIED_OUT = {
    REVOKE: revocations.carry_out,
    TERMINATE: terminations.carry_out,
    PURGE_QUEUE: quarantine.purge,
    RESTORE_QUEUE: quarantine.restore,
}

#: Rows taken in one transaction.
CHUNK = 500
#: Seconds until a batch that the broker did not confirm is tried again.
AGAIN = 2.0
#: Two messages published so shortly after each other may be taken in either order.
MARGIN = timedelta(seconds=5)


def sweep() -> int:
    """One round over all operations; return how many messages were published.

    Raises `BrokerUnreachable`; whatever was due is due again then.
    """
    published = 0
    refused: BrokerUnreachable | None = None
    due = Target.objects.filter(operation=OuterRef("pk"), finished_at=None, due_at__lte=Now())
    busy = Q(state=OperationState.ABORTED) | Exists(due)  # others only wait for their workers
    for operation in Operation.objects.going().filter(busy).order_by("pk"):
        if operation.meaning is None:  # of another version, whose dispatcher knows what to do
            continue
        try:
            published += _serve(operation)
        except QueueFull as error:  # of this operation; there may be room for the others
            refused = error
        except BrokerUnreachable as error:
            refused = error
            break
        except database.AWAY:
            raise
        except Exception:  # what is wrong with one operation must not stop the others
            logger.exception("Operation %s could not be served.", operation.pk)
    operations.finish_ended()
    if refused:
        raise refused
    return published


def _serve(operation: Operation) -> int:
    """Do what one operation needs now; return how many messages were published."""
    _bring_back(operation)
    if operation.state == OperationState.ABORTED:
        operations.cancel_unbegun(operation)
    if operation.state != OperationState.RUNNING:
        return 0
    if operation.verb not in WHOLE and not operations.still_allowed(operation):
        pace.hold(operation, "actor")
        return 0
    if operation.verb in CARRIED_OUT:
        CARRIED_OUT[operation.verb](operation)
        return 0
    return _publish_due(operation)


def _bring_back(operation: Operation) -> None:
    """Let wait again what got lost on the way, or with the process that ran it."""
    died = list(operation.targets.overdue(TargetState.RUNNING)[:CHUNK])
    for target in _lost(operation):
        target.operation = operation
        if Target.objects.of_task(target.task_id).due().put_back(0):
            Result.objects.filter(task_id=target.task_id).discard()
    for target, message in _messages(operation, died):
        newest = Target.objects.of_task(target.task_id).due()
        again = message is not None and broker.may_run_again(message.task)
        if newest.died(again=again) and again:
            if target.crashes < settings.MAX_CRASHES - 1:
                Result.objects.filter(task_id=target.task_id).discard()
            else:
                _fail(target.task_id)


def _fail(task_id: str) -> None:
    """Store that it failed, and count that like any failure."""
    with transaction.atomic():
        if Result.objects.filter(task_id=task_id).died():
            failures.note(task_id=task_id, task="", result=DIED, traceback=None)


def _lost(operation: Operation) -> list[Target]:
    """Those that were published and will not be run.

    A queue is served in order. So a message is lost when a later one was taken from its queue, or
    none is left in there. Else it waits its turn, and its lease goes on.
    """
    overdue = operation.targets.overdue(TargetState.QUEUED)
    ancient = Q(queued_at=None)
    ancient |= Q(queued_at__lt=Now() - timedelta(seconds=settings.QUEUE_LEASE_MAX))
    lost = list(overdue.filter(ancient)[:CHUNK])
    others = list(overdue.exclude(ancient).order_by("queued_at")[:CHUNK])
    if not others:
        return lost
    queues = _queues(operation, others)
    try:
        left = broker.waiting(set(queues.values()))
    except BrokerUnreachable:  # the page says so of what waits
        overdue.filter(pk__in=[t.pk for t in others]).put_back(AGAIN, reason="broker")
        raise
    taken = _taken(operation, since=others[0].queued_at)
    for target in others:
        queue = queues.get(target.pk, "")
        if left.get(queue) == 0 or (queue in taken and target.queued_at < taken[queue] - MARGIN):
            lost.append(target)
    patient = overdue.filter(pk__in={t.pk for t in others} - {t.pk for t in lost})
    patient.update(due_at=after(settings.QUEUE_LEASE / 2))
    return lost


def _taken(operation: Operation, *, since: Any) -> dict[str, Any]:
    """When the newest message that was taken from each queue had been published."""
    begun = Q(state=TargetState.RUNNING) | Q(finished_at__gt=since)
    taken = operation.targets.filter(begun, queued_at__gt=since, started_at__gte=F("queued_at"))
    newest = list(taken.order_by("-queued_at")[:CHUNK])
    queues = _queues(operation, newest)
    return {queues[t.pk]: t.queued_at for t in reversed(newest) if t.pk in queues}


def _queues(operation: Operation, targets: list[Target]) -> dict[int, str]:
    """The queue of each target's message, by the target's key."""
    pairs = _messages(operation, targets)
    return {target.pk: message.queue for target, message in pairs if message}


def _publish_due(operation: Operation) -> int:
    """Publish due targets, a chunk at a time, until there is no room."""
    room = pace.room(operation)
    published = 0
    while room > 0 and (taken := _take(operation, min(room, CHUNK))):
        messages = []
        for target, message in _messages(operation, taken):
            if message is None:
                _skip(target)
            else:
                messages.append(message)
        if messages:
            if operation.verb in RETRIES:
                revocations.fence([target.subject for target in taken])
            failpoints.reach("after_take")
            _publish(messages)
            failpoints.reach("after_publish")
        room -= len(taken)
        published += len(messages)
    return published


def _take(operation: Operation, limit: int) -> list[Target]:
    """Mark up to `limit` due targets as queued, under a new attempt number, and return them."""
    with transaction.atomic():
        skip = connection.features.has_select_for_update_skip_locked
        waiting = operation.targets.next()
        if operation.canary:  # the same one until it has an outcome, however often it is tried
            waiting = waiting.filter(pk=operation.targets.open().order_by("pk").values("pk")[:1])
        ids = list(waiting.select_for_update(skip_locked=skip).values_list("pk", flat=True)[:limit])
        taken = Target.objects.filter(pk__in=ids)
        taken.update(
            state=TargetState.QUEUED,
            attempt=F("attempt") + 1,
            due_at=after(settings.QUEUE_LEASE),
            queued_at=Now(),
        )
        return list(taken.order_by("pk"))


def _publish(messages: list[Message]) -> None:
    """Store the rows of the results, then publish; undo both when the broker did not confirm."""
    Result.objects.announce(
        Result.announced(
            task_id=message.task_id,
            task=message.task,
            args=message.args,
            kwargs=message.kwargs,
            queue=message.queue,
        )
        for message in messages
    )
    try:
        broker.publish(messages)
    except BrokerUnreachable:
        for message in messages:  # some may be queued all the same, or even run by now
            target = Target.objects.of_task(message.task_id).filter(state=TargetState.QUEUED)
            target.put_back(AGAIN, reason="broker")
        ids = [message.task_id for message in messages]
        Result.objects.filter(task_id__in=ids, status="PENDING").delete()
        raise


def _skip(target: Target) -> None:
    """Settle a target whose message can no longer be made."""
    known = Result.objects.filter(task_id=target.subject).first()
    reason = "expired"
    if known is not None:
        exact = target.operation.edited or known.arguments[0] == Verdict.EXACT
        reason = broker.unrepeatable(known.task_name) if exact else "lossy"
    Target.objects.of_task(target.task_id).settle(TargetState.SKIPPED, reason=reason)


def _messages(
    operation: Operation, targets: list[Target]
) -> Iterator[tuple[Target, Message | None]]:
    """Pair each target with its message; None when there is none (any more)."""
    task = operation.meaning.task if operation.meaning else ""
    results = {}
    if not task and targets:
        known = Result.objects.defer("result", "traceback")  # they can be megabytes long
        results = known.in_bulk([t.subject for t in targets], field_name="task_id")
    for target in targets:
        target.operation = operation
        if operation.verb == RUN_PERIODIC:
            yield target, broker.routed(task_id=target.task_id, **(operation.called or {}))
        elif task:
            yield (
                target,
                broker.routed(task_id=target.task_id, task=task, args=[_key(target.subject)]),
            )
        else:
            yield target, _again(target, results.get(target.subject))


def _again(target: Target, result: Result | None) -> Message | None:
    """The message that repeats a result: its task, its very arguments or the edited, its queue."""
    if result is None or result.task_name not in broker.repeatable():
        return None
    verdict, args, kwargs = result.arguments
    if target.operation.edited is not None:
        args, kwargs = target.operation.edited
    elif verdict != Verdict.EXACT:
        return None
    return broker.routed(
        task_id=target.task_id,
        task=result.task_name or "",
        args=args,
        kwargs=kwargs,
        queue=result.queue,
    )


def _key(subject: str) -> int | str:
    """A primary key as it goes into a message: a number where it is one ("0042" is none)."""
    return int(subject) if subject.isdecimal() and str(int(subject)) == subject else subject
