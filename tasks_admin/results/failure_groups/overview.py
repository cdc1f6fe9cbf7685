"""Overview of a failure group: its latest failures, and the actions performed on it."""

from dataclasses import dataclass

from django.db.models import Exists, OuterRef

from tasks_admin.models import Failure, FailureGroup, Operation, Result, Target
from tasks_admin.models.lock_keys import LockKind, lock_key
from tasks_admin.results.failure_groups.actions import TRANSITIONS

#: Failures on a page, and actions that the page lists.
PAGE_SIZE, MAX_ACTIONS = 20, 20


@dataclass(frozen=True, kw_only=True)
class StoredFailure:
    """A failure, its result while that is stored, and the operation that retried it."""

    failure: Failure
    result: Result | None
    retry: Operation | None


def group_of(task_id: str) -> FailureGroup | None:
    """The group of a task's failure; None if it did not fail, or its failure has expired."""
    failure = Failure.objects.filter(task_id=task_id).select_related("group").first()
    return failure.group if failure else None


def latest_failures(
    group: FailureGroup, *, before: int | None = None
) -> tuple[list[StoredFailure], int | None]:
    """A page of the group's failures, latest first, and the key before which the next one ends."""
    rows = group.failures.order_by("-pk")
    if before is not None:
        rows = rows.filter(pk__lt=before)
    page = list(rows[: PAGE_SIZE + 1])
    ids = [failure.task_id for failure in page[:PAGE_SIZE]]
    listed = Result.objects.defer("result", "traceback", "task_args", "task_kwargs", "meta")
    results = listed.in_bulk(ids, field_name="task_id")
    retries = _retries(ids)
    failures = [
        StoredFailure(
            failure=failure,
            result=results.get(failure.task_id),
            retry=retries.get(failure.task_id),
        )
        for failure in page[:PAGE_SIZE]
    ]
    return failures, page[PAGE_SIZE - 1].pk if len(page) > PAGE_SIZE else None


def actions_on(group: FailureGroup) -> list[Operation]:
    """The operations that changed the group's state, latest first."""
    targets = Target.objects.filter(operation=OuterRef("pk"), subject=str(group.pk))
    actions = Operation.objects.filter(Exists(targets), verb__in=list(TRANSITIONS))
    return list(actions.order_by("-pk")[:MAX_ACTIONS])


def _retries(task_ids: list[str]) -> dict[str, Operation]:
    lock_keys = [lock_key(LockKind.RESULT, task_id) for task_id in task_ids]
    targets = Target.objects.filter(lock_key__in=lock_keys).select_related("operation")
    return {target.subject: target.operation for target in targets}
