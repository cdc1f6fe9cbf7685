"""Where a result comes from and what came of it: attempts and retries, as a time line."""

from dataclasses import dataclass

from tasks_admin.lib.verbs import RETRIES
from tasks_admin.models import Result, Target
from tasks_admin.models.lock_keys import LockKind, lock_key

#: Steps that are followed in either direction, and attempts of a target that are shown.
MOST = 10


@dataclass(frozen=True, kw_only=True)
class Step:
    """One execution: who had it run, and its result while that is stored."""

    #: Empty while it waits to be published.
    task_id: str
    #: The target it was run for; None for what the project queued.
    target: Target | None
    #: Its number among the target's attempts, from 1.
    attempt: int
    result: Result | None = None


def of(result: Result) -> list[Step]:
    """The executions that belong together with this one, oldest first."""
    task_ids: list[tuple[str, Target | None, int]] = []
    origin, before = result.task_id, []
    for _step in range(MOST):
        target = _target(origin)
        before.append((origin, target))
        if target is None or target.operation.verb not in RETRIES:
            break
        origin = target.subject
    for task_id, target in reversed(before):
        task_ids += _attempts(task_id, target)
    last = result.task_id
    for _step in range(MOST):
        retry = (
            Target.objects.filter(lock_key=lock_key(LockKind.RESULT, last))
            .select_related("operation")
            .first()
        )
        if retry is None:
            break
        if not retry.attempt:  # not published yet
            task_ids.append(("", retry, 0))
            break
        last = retry.task_id
        task_ids += [step for step in _attempts(last, retry) if step not in task_ids]
    return _with_results(task_ids)


def _target(task_id: str) -> Target | None:
    return Target.objects.select_related("operation").for_task_id(task_id).first()


def _attempts(task_id: str, target: Target | None) -> list[tuple[str, Target | None, int]]:
    """The newest attempts at a target, and the one that is asked for."""
    if target is None:
        return [(task_id, None, 1)]
    numbers = range(max(1, target.attempt - MOST + 1), target.attempt + 1)
    asked = int(task_id.rpartition("-")[2])
    return [(target.task_id_of(number), target, number) for number in sorted({asked, *numbers})]


def _with_results(found: list[tuple[str, Target | None, int]]) -> list[Step]:
    known = Result.objects.defer("result", "traceback", "task_args", "task_kwargs")
    results = known.in_bulk([task_id for task_id, *_ in found], field_name="task_id")
    return [
        Step(task_id=task_id, target=target, attempt=attempt, result=results.get(task_id))
        for task_id, target, attempt in found
    ]
