"""The actions on results: retry failed tasks, reveal masked arguments."""

from typing import TYPE_CHECKING, Any

from django.db.models import Case, CharField, Count, Exists, F, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Cast, Concat

from tasks_admin import operations
from tasks_admin.integrations import broker
from tasks_admin.lib.verbs import RETRY_FAILED, REVEAL_ARGUMENTS
from tasks_admin.models import Operation, Result, Target, stored_exceptions
from tasks_admin.models.expressions import ExceptionClass
from tasks_admin.models.lock_keys import LockKind, lock_key_expression
from tasks_admin.models.result_states import RETRYABLE, ResultState
from tasks_admin.models.targets import TargetState
from tasks_admin.operations import Confirmation, Selection

if TYPE_CHECKING:
    from django.contrib.auth.models import User

#: Groups that the preview shows.
MAX_GROUPS = 50


def select(results: QuerySet[Any]) -> Selection:
    """The results that would be retried, and the number of excluded ones by reason."""
    rows = with_exclusion_reason(results)
    eligible = rows.filter(exclusion_reason="")
    return Selection(rows=targets(eligible), excluded=operations.count_exclusions(rows))


def targets(results: QuerySet[Any]) -> operations.Rows:
    """The rows of the targets that retry these results, with their lock keys."""
    key = lock_key_expression(LockKind.RESULT, F("task_id"))
    return operations.selected(results, subject=F("task_id"), lock_key=key)


def with_exclusion_reason(results: QuerySet[Any]) -> QuerySet[Any]:
    """Annotate each result with `exclusion_reason`, a code of `reasons`; '': can be retried."""
    same = lock_key_expression(LockKind.RESULT, OuterRef("task_id"))
    exclusion_reason = Case(
        When(Exists(Target.objects.filter(lock_key=same)), then=Value("retried")),
        When(status=ResultState.RETRY, then=Value("retrying")),
        When(~Q(status__in=RETRYABLE), then=Value("not_failed")),
        When(~Q(task_name__in=broker.registered_tasks()), then=Value("unregistered")),
        When(~Q(task_name__in=broker.protected_tasks()), then=Value("unprotected")),
        # Exact arguments are stored as a JSON list and a JSON object.
        When(task_args__startswith="[", task_kwargs__startswith="{", then=Value("")),
        default=Value("lossy"),
        output_field=CharField(),
    )
    rows: QuerySet[Any] = results.annotate(exclusion_reason=exclusion_reason)
    return rows


def retry_failed(
    *, results: QuerySet[Any], confirmation: Confirmation, parent: Operation | None = None
) -> Operation:
    """Queue the failed results again with the same task, arguments and queue, once each."""
    operations.require_actor(confirmation, RETRY_FAILED)
    return operations.start(
        verb=RETRY_FAILED, selection=select(results), confirmation=confirmation, parent=parent
    )


def failed_results(operation: Operation) -> QuerySet[Any]:
    """The results of the failed targets: those of their latest attempts."""
    key = Value(f"{operation.key}-")
    number = Cast("attempt", CharField())
    task_id = Concat(key, Cast("pk", CharField()), Value("-"), number, output_field=CharField())
    failed = operation.targets.filter(state=TargetState.FAILED)
    return Result.objects.filter(task_id__in=failed.values_list(task_id, flat=True))


def preview_groups(results: QuerySet[Any]) -> list[tuple[str, str, str, int]]:
    """The effect of a retry: (task, exception, code of a reason or '', count), largest first."""
    raised = Case(
        When(result__startswith=stored_exceptions.CLASS_PREFIX, then=ExceptionClass()),
        default=Value(""),
        output_field=CharField(),
    )
    counted = with_exclusion_reason(results).annotate(raised=raised).order_by()
    rows = counted.values_list("task_name", "raised", "exclusion_reason").annotate(n=Count("pk"))
    groups = [(task or "", *more) for task, *more in rows.order_by("-n")[:MAX_GROUPS]]
    others = results.count() - sum(group[-1] for group in groups)
    return groups + ([("", "", "others", others)] if others > 0 else [])


def reveal(*, result: Result, actor: "User", reason: str) -> Operation:
    """Record that the actor views the masked values, before they are shown."""
    operations.require(actor, REVEAL_ARGUMENTS)
    outcomes = [operations.Outcome(subject=result.task_id)]
    return operations.record(verb=REVEAL_ARGUMENTS, actor=actor, reason=reason, outcomes=outcomes)
