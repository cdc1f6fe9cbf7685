"""History: the attempts and retries before and after a result, oldest first."""

from dataclasses import dataclass, replace

from tasks_admin.lib.verbs import RETRIES
from tasks_admin.models import Result, Target
from tasks_admin.models.lock_keys import LockKind, lock_key

#: Retries that are followed in either direction, and attempts of a target that are shown.
MAX_RETRIES, MAX_ATTEMPTS = 10, 10


@dataclass(frozen=True, kw_only=True)
class Execution:
    """One execution of a task, the target for which it was published, and its stored result."""

    #: Empty while it waits to be published.
    task_id: str
    #: None for a task that the project published.
    target: Target | None
    #: The number of the target's attempt, from 1.
    attempt: int
    result: Result | None = None


def executions(result: Result) -> list[Execution]:
    """The executions that are related to this one by attempts or retries, oldest first."""
    found = _before(result.task_id)
    found += [one for one in _after(result.task_id) if one not in found]
    return _with_results(found)


def _before(task_id: str) -> list[Execution]:
    """The original run and its retries, up to the given execution."""
    chain: list[tuple[str, Target | None]] = []
    for _step in range(MAX_RETRIES):
        target = Target.objects.select_related("operation").for_task_id(task_id).first()
        chain.append((task_id, target))
        if target is None or target.operation.verb not in RETRIES:
            break
        task_id = target.subject
    return [one for origin in reversed(chain) for one in _attempts(*origin)]


def _after(task_id: str) -> list[Execution]:
    """The retries of the given execution."""
    found: list[Execution] = []
    for _step in range(MAX_RETRIES):
        retries = Target.objects.filter(lock_key=lock_key(LockKind.RESULT, task_id))
        retry = retries.select_related("operation").first()
        if retry is None:
            break
        if not retry.attempt:  # not published yet
            return [*found, Execution(task_id="", target=retry, attempt=0)]
        task_id = retry.task_id
        found += _attempts(task_id, retry)
    return found


def _attempts(task_id: str, target: Target | None) -> list[Execution]:
    """The latest attempts of a target, and the requested one."""
    if target is None:
        return [Execution(task_id=task_id, target=None, attempt=1)]
    numbers = range(max(1, target.attempt - MAX_ATTEMPTS + 1), target.attempt + 1)
    requested = int(task_id.rpartition("-")[2])
    return [
        Execution(task_id=target.task_id_of(number), target=target, attempt=number)
        for number in sorted({requested, *numbers})
    ]


def _with_results(found: list[Execution]) -> list[Execution]:
    listed = Result.objects.defer("result", "traceback", "task_args", "task_kwargs")
    results = listed.in_bulk([one.task_id for one in found], field_name="task_id")
    return [replace(one, result=results.get(one.task_id)) for one in found]
