"""Worker commands: recorded before they are sent, with one outcome for each worker.

A worker that did not reply in time records what it did when it recovers. A worker that never
received the command, or has restarted since, cannot: the dispatcher asks it.
"""

import contextlib
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db.models.functions import Now

from tasks_admin import operations
from tasks_admin.integrations import control
from tasks_admin.lib import masks
from tasks_admin.lib.conf import settings
from tasks_admin.lib.errors import BrokerUnreachable
from tasks_admin.lib.verbs import QUEUE_CONSUMPTION, WORKER_COMMANDS
from tasks_admin.models import Operation, Queue, Target, Worker
from tasks_admin.models.targets import TargetQuerySet, TargetState
from tasks_admin.operations import Outcome

if TYPE_CHECKING:
    from django.contrib.auth.models import User

#: Seconds after which the process that recorded a command has sent it, or has died.
SEND_TIMEOUT = 30.0
#: Targets that one follow-up asks about.
BATCH_SIZE = 500
MAX_DETAIL_LENGTH = 500
#: The reasons of an unknown outcome: no reply; or the worker replied that it will stop.
NO_REPLY, STOPPING = "no_reply", "stopping"


def record(
    *, verb: str, names: list[str], actor: "User", reason: str, arguments: dict[str, Any]
) -> Operation:
    """Record a command to these workers, each with an unknown outcome."""
    unknown = [Outcome(subject=name, state=TargetState.UNKNOWN, reason=NO_REPLY) for name in names]
    operation = operations.record(verb=verb, actor=actor, reason=reason, outcomes=unknown)
    changes = [
        {"name": name, "old": "", "new": str(value) if value is not None else "–"}
        for name, value in arguments.items()
    ]
    Operation.objects.filter(pk=operation.pk).update(arguments={"changes": changes})
    return operation


def send(operation: Operation, arguments: dict[str, Any], *, names: list[str]) -> None:
    """Send a recorded command to these workers, and record the replies."""
    key = str(operation.key)
    replies: dict[str, dict[str, Any]] = {}
    with contextlib.suppress(BrokerUnreachable):  # it may have been delivered all the same
        replies = (
            control.send_command(key, operation.verb, arguments, destination=names) if names else {}
        )
    for name, reply in replies.items():
        record_outcome(key, name, reply)
    control.clear_cache()


def record_outcome(key: str, name: str, reply: dict[str, Any]) -> None:
    """Record a worker's reply to a command (an operation's key), unless its outcome is known."""
    with contextlib.suppress(ValueError):
        target = Target.objects.filter(
            operation__in=Operation.objects.filter(key=uuid.UUID(key)), subject=name
        )
        detail = masks.mask_text(_detail(reply))
        # A follow-up found that it was not delivered, and then it was delivered after all.
        target.filter(reason="not_delivered").update(state=TargetState.UNKNOWN, reason=NO_REPLY)
        if "ok" not in reply:
            target.settle(TargetState.FAILED, reason="command_refused", detail=detail)
        elif reply["ok"] == "stops":  # done when the worker is gone
            target.filter(state=TargetState.UNKNOWN).update(reason=STOPPING)
        else:
            target.settle(TargetState.DONE, detail=detail)


def follow_up() -> None:
    """Settle commands with unknown outcomes, where the workers respond again.

    Raises `BrokerUnreachable`.
    """
    found = list(_unsettled().select_related("operation").order_by("-pk")[:BATCH_SIZE])
    rows = Worker.objects.filter(name__in={target.subject for target in found})
    online = set(rows.online().values_list("name", flat=True))
    gone = set(rows.values_list("name", flat=True)) - online
    for target in found:
        if target.reason == STOPPING and target.subject in gone:
            _settle(target, TargetState.DONE, "worker_gone")
    responding = [target for target in found if target.subject in online]
    if pauses := [one for one in responding if one.operation.verb in QUEUE_CONSUMPTION]:
        _resend(pauses)
    if others := [one for one in responding if one.operation.verb in WORKER_COMMANDS]:
        _query_outcomes(others)


def _unsettled() -> TargetQuerySet:
    """Return the targets of recent commands whose outcome is unknown."""
    days = timedelta(days=settings.WORKER_EXPIRES_DAYS)
    recent = Operation.objects.filter(
        verb__in=[*WORKER_COMMANDS, *QUEUE_CONSUMPTION],
        created_at__gt=Now() - days,
        created_at__lt=Now() - timedelta(seconds=SEND_TIMEOUT),
    )
    reasons = [NO_REPLY, STOPPING]
    return Target.objects.filter(
        operation__in=recent, state=TargetState.UNKNOWN, reason__in=reasons
    )


def _resend(targets: list[Target]) -> None:
    """Send pauses again: decisions are numbered, and the current state of all queues is sent."""
    paused, revision = Queue.objects.paused_names()
    for operation in {target.operation for target in targets}:
        names = [target.subject for target in targets if target.operation_id == operation.pk]
        send(operation, {"paused": paused, "revision": revision}, names=names)


def _query_outcomes(targets: list[Target]) -> None:
    """Ask for outcomes; never send these commands again: staff may no longer want them."""
    keys = sorted({str(target.operation.key) for target in targets})
    names = sorted({target.subject for target in targets})
    replies = control.command_outcomes(keys, destination=names)
    # Of two workers with the same name, the reply of the one that ran the command counts.
    by_target = {
        (name, key): reply for name, key, reply in sorted(replies, key=lambda one: bool(one[2]))
    }
    for target in targets:
        name, key = target.subject, str(target.operation.key)
        if (name, key) not in by_target:
            continue
        if reply := by_target[name, key]:
            record_outcome(key, name, reply)
        elif target.reason == STOPPING:  # a new process has its name
            _settle(target, TargetState.DONE, "worker_gone")
        else:
            _settle(target, TargetState.FAILED, "not_delivered")


def _settle(target: Target, state: TargetState, reason: str) -> None:
    rows = Target.objects.filter(pk=target.pk, state=TargetState.UNKNOWN, reason=target.reason)
    rows.settle(state, reason=reason)


def _detail(reply: dict[str, Any]) -> str:
    """Return the values before and after, or Celery's error text."""
    if "ok" not in reply:
        return str(reply.get("error") or "")[:MAX_DETAIL_LENGTH]
    before, after = reply.get("before"), reply.get("after")
    changed = "" if before == after else f"{before} → {after}"
    return (changed or str(after if after is not None else ""))[:MAX_DETAIL_LENGTH]
