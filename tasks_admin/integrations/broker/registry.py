"""What the project declares: its tasks, and its queues."""

import functools
from collections.abc import Mapping
from typing import Any

from celery import current_app


@functools.cache
def _tasks() -> Mapping[str, Any]:
    """All tasks of the project. Workers import them by themselves; web processes do here."""
    current_app.loader.import_default_modules()
    return current_app.tasks


def options_of(task: str) -> dict[str, Any]:
    """With what Celery publishes a task of the project: its queue, its limits."""
    known: Any = _tasks().get(task)
    return known._get_exec_options() if known is not None else {}


def registered() -> list[str]:
    """The names of the project's own tasks, sorted."""
    return sorted(name for name in _tasks() if not name.startswith("celery."))


def body(task: str) -> Any:
    """The function that a task of the project runs, `self` left out; None when there is none."""
    return getattr(_tasks()[task], "run", None) if task in registered() else None


def queues() -> list[str]:
    """The names of the queues that the project declares, sorted.

    Not those of `amqp.queues`, which takes in every name that anybody asked it for.
    """
    declared: Any = current_app.conf.task_queues or ()
    names = {getattr(queue, "name", queue) for queue in declared}
    return sorted(names | {current_app.conf.task_default_queue})


def repeatable() -> list[str]:
    """The tasks that claim the target they run for: a second delivery does nothing."""
    return [name for name in registered() if getattr(_tasks()[name], "claims", False)]


def unrepeatable(task: str | None) -> str:
    """Why a task is not `repeatable`, as a code of `reasons`."""
    return "unprotected" if task in registered() else "unregistered"


def may_run_again(task: str) -> bool:
    """Whether the task's owner says that it may be run again when its process died.

    That is what `acks_late` says: Celery delivers such a task again after a crash.
    """
    known = _tasks().get(task)
    return bool(known is not None and known.acks_late)
