"""Orders: what workers are told to do, recorded before they are told, with an outcome for each."""

import contextlib
import uuid
from typing import TYPE_CHECKING, Any

from tasks_admin import control, masks, operations
from tasks_admin.errors import BrokerUnreachable
from tasks_admin.models import Operation, Target
from tasks_admin.models.targets import TargetState
from tasks_admin.operations import Outcome

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def record(
    *, verb: str, names: list[str], actor: "User", reason: str, about: dict[str, Any]
) -> Operation:
    """Record that these workers are told to do it; what comes of it is not known yet."""
    unheard = [Outcome(subject=name, state=TargetState.UNKNOWN, reason="unheard") for name in names]
    operation = operations.record(verb=verb, actor=actor, reason=reason, outcomes=unheard)
    changes = [
        {"name": name, "old": "", "new": str(value) if value is not None else "–"}
        for name, value in about.items()
    ]
    Operation.objects.filter(pk=operation.pk).update(arguments={"changes": changes})
    return operation


def give(operation: Operation, arguments: dict[str, Any]) -> None:
    """Tell the workers of a record, and write down what each of them says at once."""
    names = list(operation.targets.values_list("subject", flat=True))
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
        if "ok" not in reply:
            target.settle(TargetState.FAILED, reason="refused_order", detail=detail)
        elif reply["ok"] == "stops":  # its absence is the answer
            target.filter(state=TargetState.UNKNOWN).update(reason="stopping")
        else:
            target.settle(TargetState.DONE, detail=detail)


def _words(reply: dict[str, Any]) -> str:
    """Before and after, or Celery's words: 500 characters at most."""
    if "ok" not in reply:
        return str(reply.get("error") or "")[:500]
    before, after = reply.get("before"), reply.get("after")
    changed = "" if before == after else f"{before} → {after}"
    return (changed or str(after if after is not None else ""))[:500]
