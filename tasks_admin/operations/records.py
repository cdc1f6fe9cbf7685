"""Records: an action that took effect immediately, stored as a finished operation."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models.functions import Now

from tasks_admin.models.operations import Operation, OperationState
from tasks_admin.models.targets import Target, TargetState

if TYPE_CHECKING:
    from django.contrib.auth.models import User as Actor


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of one target: `done`, `failed` (refused) or `unknown`."""

    subject: str
    state: TargetState = TargetState.DONE
    #: A code of `reasons`, and the details, such as a reply.
    reason: str = ""
    detail: str = ""


def record(
    *, verb: str, actor: "Actor", reason: str, outcomes: Iterable[Outcome] = ()
) -> Operation:
    """Record an action, its actor, reason, targets and outcomes, as a finished operation."""
    outcomes = list(outcomes)
    with transaction.atomic():
        operation = Operation.objects.create(
            verb=verb,
            actor=actor,
            actor_name=actor.get_username(),
            reason=reason,
            total=len(outcomes),
            outcome_counts=dict(Counter(outcome.state.value for outcome in outcomes)),
            state=OperationState.FINISHED,
            finished_at=Now(),
        )
        Target.objects.bulk_create(
            Target(
                operation=operation,
                subject=outcome.subject,
                state=outcome.state,
                reason=outcome.reason,
                detail=outcome.detail[:500],
                due_at=Now(),
                finished_at=Now(),
            )
            for outcome in outcomes
        )
    return operation
