"""The messages of targets: what is published for each of them."""

from collections.abc import Iterator

from tasks_admin.integrations import broker
from tasks_admin.integrations.broker import Message
from tasks_admin.lib.verbs import RUN_PERIODIC
from tasks_admin.models import Operation, Result, Target
from tasks_admin.models.results import Verdict


def messages(
    operation: Operation, targets: list[Target]
) -> Iterator[tuple[Target, Message | None]]:
    """Pair each target with its message; None when there is none (any more)."""
    task = operation.verb_definition.task if operation.verb_definition else ""
    results = {}
    if not task and targets:
        known = Result.objects.defer("result", "traceback")  # they can be megabytes long
        results = known.in_bulk([t.subject for t in targets], field_name="task_id")
    for target in targets:
        target.operation = operation
        if operation.verb == RUN_PERIODIC:
            yield target, broker.routed(task_id=target.task_id, **(operation.call or {}))
        elif task:
            yield (
                target,
                broker.routed(task_id=target.task_id, task=task, args=[_key(target.subject)]),
            )
        else:
            yield target, _again(target, results.get(target.subject))


def _again(target: Target, result: Result | None) -> Message | None:
    """The message that repeats a result: its task, its very arguments or the edited, its queue."""
    if result is None or result.task_name not in broker.repeatable():
        return None
    verdict, args, kwargs = result.arguments
    if target.operation.edited_arguments is not None:
        args, kwargs = target.operation.edited_arguments
    elif verdict != Verdict.EXACT:
        return None
    return broker.routed(
        task_id=target.task_id,
        task=result.task_name or "",
        args=args,
        kwargs=kwargs,
        queue=result.queue,
    )


def _key(subject: str) -> int | str:
    """A primary key as it goes into a message: a number where it is one ("0042" is none)."""
    return int(subject) if subject.isdecimal() and str(int(subject)) == subject else subject
