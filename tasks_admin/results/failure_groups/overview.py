"""What a cause's page shows: its newest failures, and what was done about it."""

from dataclasses import dataclass

from django.db.models import Exists, OuterRef

from tasks_admin.models import Failure, FailureGroup, Operation, Result, Target
from tasks_admin.models.lock_keys import LockKind, lock_key
from tasks_admin.results.failure_groups.actions import MOVES

#: Failures on a page, and acts that it lists.
PAGE, ACTS = 20, 20


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A failure, with its result while that is stored, and the retry that repeated it."""

    failure: Failure
    result: Result | None
    retry: Operation | None


def of(task_id: str) -> FailureGroup | None:
    """The cause that a task failed for; None for what did not fail, or is no longer known."""
    failure = Failure.objects.filter(task_id=task_id).select_related("group").first()
    return failure.group if failure else None


def newest(group: FailureGroup, *, before: int | None = None) -> tuple[list[Seen], int | None]:
    """A page of its failures, newest first, and the key at which the next one begins."""
    rows = group.failures.order_by("-pk")
    if before is not None:
        rows = rows.filter(pk__lt=before)
    found = list(rows[: PAGE + 1])
    ids = [failure.task_id for failure in found[:PAGE]]
    slim = Result.objects.defer("result", "traceback", "task_args", "task_kwargs", "meta")
    results = slim.in_bulk(ids, field_name="task_id")
    retries = _retries(ids)
    seen = [
        Seen(failure=one, result=results.get(one.task_id), retry=retries.get(one.task_id))
        for one in found[:PAGE]
    ]
    return seen, found[PAGE - 1].pk if len(found) > PAGE else None


def done_to(group: FailureGroup) -> list[Operation]:
    """What staff did about it, newest first."""
    about = Target.objects.filter(operation=OuterRef("pk"), subject=str(group.pk))
    acts = Operation.objects.filter(Exists(about), verb__in=list(MOVES))
    return list(acts.order_by("-pk")[:ACTS])


def _retries(task_ids: list[str]) -> dict[str, Operation]:
    lock_keys = [lock_key(LockKind.RESULT, task_id) for task_id in task_ids]
    targets = Target.objects.filter(lock_key__in=lock_keys).select_related("operation")
    return {target.subject: target.operation for target in targets}
