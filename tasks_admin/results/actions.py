"""Results: retry what failed."""

import uuid
from typing import TYPE_CHECKING, Any

from django.db.models import Case, CharField, Count, Exists, F, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Cast, Concat

from tasks_admin import operations
from tasks_admin.integrations import broker
from tasks_admin.lib.verbs import RETRY_FAILED, REVEAL_ARGUMENTS
from tasks_admin.models import Operation, Result, Target, stored_exceptions
from tasks_admin.models.expressions import ExceptionClass
from tasks_admin.models.targets import TargetState
from tasks_admin.operations import Selection

if TYPE_CHECKING:
    from django.contrib.auth.models import User

#: The states of what can be queued again.
RETRYABLE = ("FAILURE", "LOST")
#: Groups that a preview shows.
MOST_GROUPS = 50


def select(results: QuerySet[Any]) -> Selection:
    """Say which of these results would be retried, and how many are left out for which reason."""
    seen = with_exclusion_reason(results)
    return Selection(
        rows=seen.filter(exclusion_reason="")
        .annotate(subject=F("task_id"))
        .values_list("subject", "lock_key"),
        excluded=operations.count_exclusions(seen),
    )


def with_exclusion_reason(results: QuerySet[Any]) -> QuerySet[Any]:
    """Annotate each result with `exclusion`, a code of `reasons`, or '' for what can be retried."""
    lock_key = Concat(Value("result:"), F("task_id"), output_field=CharField())
    same = Concat(Value("result:"), OuterRef("task_id"), output_field=CharField())
    exclusion_reason = Case(
        When(Exists(Target.objects.filter(lock_key=same)), then=Value("retried")),
        When(status="RETRY", then=Value("retrying")),
        When(~Q(status__in=RETRYABLE), then=Value("not_failed")),
        When(~Q(task_name__in=broker.registered()), then=Value("unregistered")),
        When(~Q(task_name__in=broker.repeatable()), then=Value("unprotected")),
        # The arguments as we store them are a JSON list and a JSON object.
        When(task_args__startswith="[", task_kwargs__startswith="{", then=Value("")),
        default=Value("lossy"),
        output_field=CharField(),
    )
    with_exclusion_reason: QuerySet[Any] = results.annotate(
        lock_key=lock_key, exclusion_reason=exclusion_reason
    )
    return with_exclusion_reason


def retry_failed(
    *,
    results: QuerySet[Any],
    actor: "User",
    reason: str,
    key: uuid.UUID | None = None,
    shown: str | None = None,
    rate: int | None = None,
    canary: bool = False,
    parent: Operation | None = None,
) -> Operation:
    """Queue the failed ones of these results again: same task, arguments and queue; once each."""
    operations.require(actor, RETRY_FAILED)
    return operations.start(
        verb=RETRY_FAILED,
        selection=select(results),
        actor=actor,
        reason=reason,
        key=key,
        shown=shown,
        rate=rate,
        canary=canary,
        parent=parent,
    )


def failures_of(operation: Operation) -> QuerySet[Any]:
    """The results of the targets that failed, of their newest attempts."""
    key = Value(f"{operation.key}-")
    number = Cast("attempt", CharField())
    task_id = Concat(key, Cast("pk", CharField()), Value("-"), number, output_field=CharField())
    failed = operation.targets.filter(state=TargetState.FAILED)
    return Result.objects.filter(task_id__in=failed.values_list(task_id, flat=True))


def groups(results: QuerySet[Any]) -> list[tuple[str, str, str, int]]:
    """What is about to happen: (task, exception, code of a reason or '', how many), most first."""
    raised = Case(
        When(result__startswith=stored_exceptions.CLASS_PREFIX, then=ExceptionClass()),
        default=Value(""),
        output_field=CharField(),
    )
    counted = with_exclusion_reason(results).annotate(raised=raised).order_by()
    rows = counted.values_list("task_name", "raised", "exclusion_reason").annotate(n=Count("pk"))
    groups = [(task or "", *more) for task, *more in rows.order_by("-n")[:MOST_GROUPS]]
    others = results.count() - sum(group[-1] for group in groups)
    return groups + ([("", "", "others", others)] if others > 0 else [])


def reveal(*, result: Result, actor: "User", reason: str) -> Operation:
    """Record that somebody is shown what is masked, before they are."""
    operations.require(actor, REVEAL_ARGUMENTS)
    shown = [operations.Outcome(subject=result.task_id)]
    return operations.record(verb=REVEAL_ARGUMENTS, actor=actor, reason=reason, outcomes=shown)
