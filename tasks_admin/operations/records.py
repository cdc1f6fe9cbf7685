"""Records: what was done at once, kept as an operation that is over."""

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
    """What became of one target of an act: `done`, `failed` (refused) or `unknown`."""

    subject: str
    state: TargetState = TargetState.DONE
    #: A code of `reasons`, and what was said.
    reason: str = ""
    detail: str = ""


def record(
    *, verb: str, actor: "Actor", reason: str, outcomes: Iterable[Outcome] = ()
) -> Operation:
    """Keep who did what, why, to what, and what came of it, as an operation that is over."""
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
