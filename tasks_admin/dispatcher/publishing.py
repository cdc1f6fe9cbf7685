"""The sweep: publish due targets, recover lost ones, finish operations.

Any number of dispatchers may sweep at once: they take rows with SKIP LOCKED where the database
supports it, and one at a time where it does not (SQLite).
"""

import logging

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now
from django.utils.module_loading import import_string

from tasks_admin import operations
from tasks_admin.dispatcher.messages import messages
from tasks_admin.dispatcher.recovery import recover
from tasks_admin.integrations import broker, database
from tasks_admin.integrations.broker import Message
from tasks_admin.lib import failpoints
from tasks_admin.lib.conf import settings
from tasks_admin.lib.errors import BrokerUnreachable, QueueFull
from tasks_admin.lib.verbs import RETRIES, Verb
from tasks_admin.models import Operation, Result, Target
from tasks_admin.models.operations import OperationState
from tasks_admin.models.result_states import ResultState
from tasks_admin.models.results import Verdict
from tasks_admin.models.targets import TargetState, after
from tasks_admin.operations import pace
from tasks_admin.results import revocations

logger = logging.getLogger(__name__)
#: Targets taken in one transaction.
BATCH_SIZE = 500
#: Seconds until a batch that the broker did not confirm is published again.
RETRY_DELAY = 2.0


def sweep() -> int:
    """Serve every operation once; return the number of published messages.

    Raises `BrokerUnreachable`; the targets that were due stay due.
    """
    published = 0
    unreachable: BrokerUnreachable | None = None
    due = Target.objects.filter(operation=OuterRef("pk"), finished_at=None, due_at__lte=Now())
    ready = Q(state=OperationState.ABORTED) | Exists(due)  # the others only wait for workers
    for operation in Operation.objects.active().filter(ready).order_by("pk"):
        verb = operation.verb_definition
        if verb is None:  # a verb of another version: its dispatcher serves the operation
            continue
        try:
            published += _serve(operation, verb)
        except QueueFull as error:  # other operations may use other queues
            unreachable = error
        except BrokerUnreachable as error:
            unreachable = error
            break
        except database.UNAVAILABLE_ERRORS:
            raise
        except Exception:  # an error in one operation must not stop the others
            logger.exception("The dispatcher could not serve operation %s.", operation.pk)
    operations.finish_ended()
    if unreachable:
        raise unreachable
    return published


def _serve(operation: Operation, verb: Verb) -> int:
    """Serve one operation; return the number of published messages."""
    recover(operation)
    if operation.state == OperationState.ABORTED:
        operations.cancel_unstarted(operation)
    if operation.state != OperationState.RUNNING:
        return 0
    if verb.interruptible and not operations.still_allowed(operation):
        pace.auto_pause(operation, "actor")
        return 0
    if verb.handler:
        import_string(verb.handler.replace(":", "."))(operation)
        return 0
    return _publish_due(operation)


def _publish_due(operation: Operation) -> int:
    """Publish due targets in batches while the pace allows it."""
    room = pace.room(operation)
    published = 0
    while room > 0 and (taken := _take(operation, min(room, BATCH_SIZE))):
        batch = []
        for target, message in messages(operation, taken):
            if message is None:
                _skip(target)
            else:
                batch.append(message)
        if batch:
            if operation.verb in RETRIES:
                revocations.revoke_lost([target.subject for target in taken])
            failpoints.reach("after_take")
            _publish(batch)
            failpoints.reach("after_publish")
        room -= len(taken)
        published += len(batch)
    return published


def _take(operation: Operation, limit: int) -> list[Target]:
    """Mark up to `limit` due targets as queued, under a new attempt number, and return them."""
    with transaction.atomic():
        targets = operation.targets.all()
        if operation.canary:  # the same target in all attempts, until it has an outcome
            targets = targets.filter(pk=operation.targets.open().order_by("pk").values("pk")[:1])
        due = targets.take_due(limit)
        taken = Target.objects.filter(pk__in=[target.pk for target in due])
        taken.update(
            state=TargetState.QUEUED,
            attempt=F("attempt") + 1,
            due_at=after(settings.QUEUE_LEASE),
            queued_at=Now(),
        )
        return list(taken.order_by("pk"))


def _publish(messages: list[Message]) -> None:
    """Insert the results, then publish; undo both when the broker does not confirm."""
    Result.objects.insert_pending(
        Result.build_pending(
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
        for message in messages:  # some may be queued nevertheless, or even running
            target = Target.objects.for_current_attempt(message.task_id).filter(
                state=TargetState.QUEUED
            )
            target.requeue(RETRY_DELAY, reason="broker")
        ids = [message.task_id for message in messages]
        Result.objects.filter(task_id__in=ids, status=ResultState.PENDING).delete()
        raise


def _skip(target: Target) -> None:
    """Settle a target for which no message can be built."""
    known = Result.objects.filter(task_id=target.subject).first()
    reason = "expired"
    if known is not None:
        exact = target.operation.edited_arguments or known.arguments[0] == Verdict.EXACT
        reason = broker.unprotected_reason(known.task_name) if exact else "lossy"
    Target.objects.for_current_attempt(target.task_id).settle(TargetState.SKIPPED, reason=reason)
