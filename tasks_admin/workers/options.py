"""Options: what each order must be told, what can be chosen, and what is refused by name."""

from typing import Any

from django.utils.translation import gettext as _

from tasks_admin.integrations import broker
from tasks_admin.lib.conf import settings
from tasks_admin.lib.errors import WrongArguments
from tasks_admin.workers.overview import Seen, overview

#: What each verb must be told; names of tasks and queues are chosen from what is known.
OPTIONS: dict[str, tuple[str, ...]] = {
    "pool_grow": ("n",),
    "pool_shrink": ("n",),
    "autoscale": ("min", "max"),
    "add_consumer": ("queue",),
    "cancel_consumer": ("queue",),
    "rate_limit": ("task_name", "rate_limit"),
    "time_limit": ("task_name", "soft", "hard"),
}
#: Of sizes of a pool, and of limits (a day, in seconds), what is the most.
SIZES, LIMITS = ("n", "min", "max"), ("soft", "hard")
LONGEST = 86_400


def most(name: str) -> int:
    """The greatest number that an option takes; the least is 1."""
    return settings.POOL_MOST if name in SIZES else LONGEST


def choices(name: str, verb: str, names: list[str]) -> list[str]:
    """What these workers can be told for an option: a queue or a task, by name, sorted."""
    if name == "task_name":
        return broker.registered()
    known = overview().workers
    consumed = {queue for seen in known if seen.name in names for queue in _queues(seen)}
    if verb == "cancel_consumer":
        return sorted(consumed)
    return sorted({*broker.queues(), *(queue for seen in known for queue in _queues(seen))})


def checked(verb: str, names: list[str], options: dict[str, Any]) -> dict[str, Any]:
    """The options, as these workers get them. Raises `WrongArguments`, by name."""
    wanted = OPTIONS.get(verb, ())
    wrong = {name: _("is no argument of this task.") for name in options if name not in wanted}
    given = {name: options.get(name) for name in wanted}
    for name in (*SIZES, *LIMITS):
        unlimited = name in LIMITS and given.get(name) is None
        if name in given and not unlimited and not _whole(given[name], most(name)):
            wrong[name] = _("must be a whole number from 1 to %(most)d.") % {"most": most(name)}
    if "queue" in given and given["queue"] not in choices("queue", verb, names):
        wrong["queue"] = _("is no queue that these workers can be told to consume, or to leave.")
    if "task_name" in given and given["task_name"] not in broker.registered():
        wrong["task_name"] = _("is no task that is registered.")
    if "rate_limit" in given and not _rate(given["rate_limit"]):
        wrong["rate_limit"] = _("must be like 10/s, 10/m or 10/h, or empty for no limit.")
    if not wrong and verb == "autoscale" and int(given["min"] or 0) > int(given["max"] or 0):
        wrong["min"] = _("must not be above the greatest size.")
    if wrong:
        raise WrongArguments(wrong)
    return given


def _queues(seen: Seen) -> list[str]:
    """What a worker consumes, or would if it were not paused."""
    return [*seen.view.queues, *seen.view.paused_queues]


def _whole(value: Any, greatest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= greatest


def _rate(value: Any) -> bool:
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
