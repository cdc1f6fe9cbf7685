"""Orders: what workers are told to do, recorded before they are told, with an outcome for each.

A worker that nobody heard says by itself what it did when it wakes up. One that never got the
order, or was started anew, has nothing to say: it is asked.
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

#: Seconds after which nobody is about to give a recorded order any more; orders asked about.
LATER, MOST = 30.0, 500
#: Why an outcome is not known: there was no answer, or the answer was a promise.
NO_REPLY, STOPPING = "no_reply", "stopping"


def record(
    *, verb: str, names: list[str], actor: "User", reason: str, about: dict[str, Any]
) -> Operation:
    """Record that these workers are told to do it; what comes of it is not known yet."""
    unheard = [Outcome(subject=name, state=TargetState.UNKNOWN, reason=NO_REPLY) for name in names]
    operation = operations.record(verb=verb, actor=actor, reason=reason, outcomes=unheard)
    changes = [
        {"name": name, "old": "", "new": str(value) if value is not None else "–"}
        for name, value in about.items()
    ]
    Operation.objects.filter(pk=operation.pk).update(arguments={"changes": changes})
    return operation


def give(operation: Operation, arguments: dict[str, Any], *, names: list[str]) -> None:
    """Tell these workers, and write down what each of them says at once."""
    key = str(operation.key)
    said: dict[str, dict[str, Any]] = {}
    with contextlib.suppress(BrokerUnreachable):  # then nobody knows whether they were told
        said = control.order(key, operation.verb, arguments, destination=names) if names else {}
    for name, reply in said.items():
        outcome(key, name, reply)
    control.forget()


def outcome(key: str, name: str, reply: dict[str, Any]) -> None:
    """Write down what a worker said of an order (an operation's key), unless that is known."""
    with contextlib.suppress(ValueError):
        target = Target.objects.filter(
            operation__in=Operation.objects.filter(key=uuid.UUID(key)), subject=name
        )
        detail = masks.mask_text(_words(reply))
        # It was said not to be done, and whoever gave the order came to it later still.
        target.filter(reason="not_delivered").update(state=TargetState.UNKNOWN, reason=NO_REPLY)
        if "ok" not in reply:
            target.settle(TargetState.FAILED, reason="command_refused", detail=detail)
        elif reply["ok"] == "stops":  # its absence is the answer
            target.filter(state=TargetState.UNKNOWN).update(reason=STOPPING)
        else:
            target.settle(TargetState.DONE, detail=detail)


def follow_up() -> None:
    """Find out what became of orders of which nobody heard, where the workers answer now.

    Raises `BrokerUnreachable`.
    """
    found = list(_unsettled().select_related("operation").order_by("-pk")[:MOST])
    rows = Worker.objects.filter(name__in={target.subject for target in found})
    there = set(rows.online().values_list("name", flat=True))
    gone = set(rows.values_list("name", flat=True)) - there
    for target in found:
        if target.reason == STOPPING and target.subject in gone:
            _settle(target, TargetState.DONE, "worker_gone")
    answering = [target for target in found if target.subject in there]
    if paused := [target for target in answering if target.operation.verb in QUEUE_CONSUMPTION]:
        _tell_again(paused)
    if others := [target for target in answering if target.operation.verb in WORKER_COMMANDS]:
        _ask(others)


def _unsettled() -> TargetQuerySet:
    """Workers told something, of which nobody heard what became of it."""
    days = timedelta(days=settings.WORKER_EXPIRES_DAYS)
    lately = Operation.objects.filter(
        verb__in=[*WORKER_COMMANDS, *QUEUE_CONSUMPTION],
        created_at__gt=Now() - days,
        created_at__lt=Now() - timedelta(seconds=LATER),
    )
    why = [NO_REPLY, STOPPING]
    return Target.objects.filter(operation__in=lately, state=TargetState.UNKNOWN, reason__in=why)


def _tell_again(targets: list[Target]) -> None:
    """Pauses may be told twice: they are numbered, and what is told is what holds now."""
    paused, decision = Queue.objects.desired()
    for operation in {target.operation for target in targets}:
        names = [target.subject for target in targets if target.operation_id == operation.pk]
        give(operation, {"paused": paused, "decision": decision}, names=names)


def _ask(targets: list[Target]) -> None:
    """Other orders are not told twice: a worker that did not do it may no longer be meant to."""
    keys = sorted({str(target.operation.key) for target in targets})
    names = sorted({target.subject for target in targets})
    told = control.outcomes(keys, destination=names)
    # Of two workers of one name the one that did it counts.
    said = {(name, key): reply for name, key, reply in sorted(told, key=lambda one: bool(one[2]))}
    for target in targets:
        name, key = target.subject, str(target.operation.key)
        if (name, key) not in said:
            continue
        if reply := said[name, key]:
            outcome(key, name, reply)
        elif target.reason == STOPPING:  # another process has its name
            _settle(target, TargetState.DONE, "worker_gone")
        else:
            _settle(target, TargetState.FAILED, "not_delivered")


def _settle(target: Target, state: TargetState, reason: str) -> None:
    rows = Target.objects.filter(pk=target.pk, state=TargetState.UNKNOWN, reason=target.reason)
    rows.settle(state, reason=reason)


def _words(reply: dict[str, Any]) -> str:
    """Before and after, or Celery's words: 500 characters at most."""
    if "ok" not in reply:
        return str(reply.get("error") or "")[:500]
    before, after = reply.get("before"), reply.get("after")
    changed = "" if before == after else f"{before} → {after}"
    return (changed or str(after if after is not None else ""))[:500]
