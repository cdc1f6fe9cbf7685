"""The options of worker commands: which ones a command takes, their choices, their validation."""

from typing import Any

from django.utils.translation import gettext as _

from tasks_admin.integrations import broker
from tasks_admin.lib.conf import settings
from tasks_admin.lib.errors import WrongArguments
from tasks_admin.workers.overview import WorkerStatus, overview

#: The options of each command that has some.
OPTIONS: dict[str, tuple[str, ...]] = {
    "pool_grow": ("n",),
    "pool_shrink": ("n",),
    "autoscale": ("min", "max"),
    "add_consumer": ("queue",),
    "cancel_consumer": ("queue",),
    "rate_limit": ("task_name", "rate_limit"),
    "time_limit": ("task_name", "soft", "hard"),
}
#: The options that are numbers of processes, and those that are seconds.
SIZE_OPTIONS, TIME_OPTIONS = ("n", "min", "max"), ("soft", "hard")
#: The longest time limit: a day, in seconds.
MAX_TIME_LIMIT = 86_400


def max_value(name: str) -> int:
    """Return the maximum of a numeric option; the minimum is 1."""
    return settings.POOL_MOST if name in SIZE_OPTIONS else MAX_TIME_LIMIT


def choices(name: str, verb: str, names: list[str]) -> list[str]:
    """Return the queues or tasks that these workers accept for an option, sorted by name."""
    if name == "task_name":
        return broker.registered_tasks()
    known = overview().workers
    consumed = {queue for worker in known if worker.name in names for queue in _queues(worker)}
    if verb == "cancel_consumer":
        return sorted(consumed)
    return sorted(
        {*broker.declared_queues(), *(queue for worker in known for queue in _queues(worker))}
    )


def validate(verb: str, names: list[str], options: dict[str, Any]) -> dict[str, Any]:
    """Return the options as the workers receive them. Raises `WrongArguments`, by option."""
    expected = OPTIONS.get(verb, ())
    wrong = {name: _("is not an option of this command.") for name in options
             if name not in expected}  # fmt: skip
    given = {name: options.get(name) for name in expected}
    for name in (*SIZE_OPTIONS, *TIME_OPTIONS):
        unlimited = name in TIME_OPTIONS and given.get(name) is None
        if name in given and not unlimited and not _is_valid_number(given[name], max_value(name)):
            wrong[name] = _("must be a whole number from 1 to %(max)d.") % {"max": max_value(name)}
    if "queue" in given and given["queue"] not in choices("queue", verb, names):
        wrong["queue"] = _("must be a queue that these workers know.")
    if "task_name" in given and given["task_name"] not in broker.registered_tasks():
        wrong["task_name"] = _("must be a registered task.")
    if "rate_limit" in given and not _is_valid_rate(given["rate_limit"]):
        wrong["rate_limit"] = _("must look like 10/s, 10/m or 10/h, or be empty for no limit.")
    if not wrong and verb == "autoscale" and int(given["min"] or 0) > int(given["max"] or 0):
        wrong["min"] = _("must not be greater than the maximum.")
    if wrong:
        raise WrongArguments(wrong)
    return given


def _queues(worker: WorkerStatus) -> list[str]:
    """Return the queues that a worker consumes, or would consume if they were not paused."""
    return [*worker.view.queues, *worker.view.paused_queues]


def _is_valid_number(value: Any, maximum: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= maximum


def _is_valid_rate(value: Any) -> bool:
    if value == "":
        return True
    number, slash, unit = str(value).partition("/")
    return (
        number.isascii()
        and number.isdigit()
        and len(number) < 7
        and int(number) > 0
        and (not slash or unit in {"s", "m", "h"})
    )
