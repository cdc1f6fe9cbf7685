"""The tasks and queues that the project declares."""

import functools
from collections.abc import Mapping
from typing import Any

from celery import current_app


@functools.cache
def _tasks() -> Mapping[str, Any]:
    """All tasks of the project. A web process imports them here; a worker does so at its start."""
    current_app.loader.import_default_modules()
    return current_app.tasks


def publish_options(task: str) -> dict[str, Any]:
    """The options with which Celery publishes a task of the project: its queue, its limits."""
    known: Any = _tasks().get(task)
    return known._get_exec_options() if known is not None else {}


def registered_tasks() -> list[str]:
    """The names of the project's own tasks, sorted."""
    return sorted(name for name in _tasks() if not name.startswith("celery."))


def task_function(task: str) -> Any:
    """The function of a task, without `self`; None if the task is not registered."""
    return getattr(_tasks()[task], "run", None) if task in registered_tasks() else None


def declared_queues() -> list[str]:
    """The names of the queues that the project declares, sorted.

    `amqp.queues` is no source: it adds each name that is looked up in it.
    """
    declared: Any = current_app.conf.task_queues or ()
    names = {getattr(queue, "name", queue) for queue in declared}
    return sorted(names | {current_app.conf.task_default_queue})


def protected_tasks() -> list[str]:
    """The tasks that claim their target: a second delivery has no effect."""
    return [name for name in registered_tasks() if getattr(_tasks()[name], "claims", False)]


def unprotected_reason(task: str | None) -> str:
    """Why a task is not in `protected_tasks`, as a code of `reasons`."""
    return "unprotected" if task in registered_tasks() else "unregistered"


def may_run_again(task: str) -> bool:
    """Whether the task may run again after its process died.

    The task's author declares that with `acks_late`: Celery redelivers such a task after a crash.
    """
    known = _tasks().get(task)
    return bool(known is not None and known.acks_late)
