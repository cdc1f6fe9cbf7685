"""The messages of targets."""

from collections.abc import Iterator

from tasks_admin.integrations import broker
from tasks_admin.integrations.broker import Message
from tasks_admin.lib.verbs import RUN_PERIODIC
from tasks_admin.models import Operation, Result, Target
from tasks_admin.models.results import Verdict


def messages(
    operation: Operation, targets: list[Target]
) -> Iterator[tuple[Target, Message | None]]:
    """Pair each target with its message; None when none can be built."""
    task = operation.verb_definition.task if operation.verb_definition else ""
    results = {}
    if not task and targets:
        known = Result.objects.defer("result", "traceback")  # these columns can hold megabytes
        results = known.in_bulk([t.subject for t in targets], field_name="task_id")
    for target in targets:
        target.operation = operation
        if operation.verb == RUN_PERIODIC:
            yield target, broker.build_message(task_id=target.task_id, **(operation.call or {}))
        elif task:
            yield (
                target,
                broker.build_message(
                    task_id=target.task_id, task=task, args=[_key(target.subject)]
                ),
            )
        else:
            yield target, _repeat(target, results.get(target.subject))


def _repeat(target: Target, result: Result | None) -> Message | None:
    """The message that repeats a result: its task and queue, with its own or edited arguments."""
    if result is None or result.task_name not in broker.protected_tasks():
        return None
    verdict, args, kwargs = result.arguments
    if target.operation.edited_arguments is not None:
        args, kwargs = target.operation.edited_arguments
    elif verdict != Verdict.EXACT:
        return None
    return broker.build_message(
        task_id=target.task_id,
        task=result.task_name or "",
        args=args,
        kwargs=kwargs,
        queue=result.queue,
    )


def _key(subject: str) -> int | str:
    """A primary key as an argument of a message: an integer if it is one ("0042" is a string)."""
    return int(subject) if subject.isdecimal() and str(int(subject)) == subject else subject
