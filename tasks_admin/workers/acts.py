"""What staff can tell workers to do, with a truthful outcome for each of them."""

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from tasks_admin import broker, control, operations, orders
from tasks_admin.errors import WrongArguments, WrongState
from tasks_admin.models import Operation
from tasks_admin.verbs import ORDERS
from tasks_admin.workers.looks import Seen, State, overview

if TYPE_CHECKING:
    from django.contrib.auth.models import User

#: By how many a pool grows or shrinks at most, and its greatest size.
MOST = 64
#: A day: the longest time limit, in seconds.
LONGEST = 86_400
#: What each verb must be told; names of tasks and queues are checked against what is declared.
OPTIONS: dict[str, tuple[str, ...]] = {
    "pool_grow": ("n",),
    "pool_shrink": ("n",),
    "autoscale": ("min", "max"),
    "add_consumer": ("queue",),
    "cancel_consumer": ("queue",),
    "rate_limit": ("task_name", "rate_limit"),
    "time_limit": ("task_name", "soft", "hard"),
}
POOL = {"pool_grow", "pool_shrink", "autoscale", "pool_restart"}


def order(
    *,
    verb: str,
    names: list[str],
    actor: "User",
    reason: str,
    options: dict[str, Any] | None = None,
    typed: str = "",
) -> Operation:
    """Tell these workers to do it, and record what became of each.

    It is recorded before anything is sent, as not known; so is who does not answer. `typed` are
    the queues that are left without a consumer, see `forsakes`. Raises `WrongArguments` or
    `WrongState` before that.
    """
    operations.require(actor, verb)
    if verb not in ORDERS:
        raise WrongState(_("Workers can't be told to do that."))
    arguments = checked(verb, options or {})
    chosen = _chosen(verb, names)
    names = [seen.name for seen in chosen]
    left = forsakes(verb, names, arguments)
    if left and typed.replace(" ", "") != ",".join(left):
        text = _("Nobody else consumes %(queues)s. Type that to go on.")
        raise WrongArguments({"typed": text % {"queues": ",".join(left)}})
    operation = orders.record(verb=verb, names=names, actor=actor, reason=reason, about=arguments)
    orders.give(operation, arguments)
    return operation


def forsakes(verb: str, names: list[str], options: dict[str, Any]) -> list[str]:
    """The queues that nobody would consume any more; those of whom nothing is heard don't count."""
    if verb not in {"shut_down", "cancel_consumer"}:
        return []
    known = [seen for seen in overview().workers if seen.answered]
    taken = {queue for seen in known if seen.name in names for queue in seen.view.queues}
    if verb == "cancel_consumer":
        taken &= {options.get("queue")}
    others = {queue for seen in known if seen.name not in names for queue in seen.view.queues}
    return sorted(taken - others)


def possible(seen: Seen) -> list[str]:
    """What this worker can be told at all."""
    if not seen.answered or seen.state == State.FOREIGN:
        return []
    pool = seen.view.pool in control.RESIZABLE
    scaled = seen.view.autoscale is not None
    fixed = {"pool_grow", "pool_shrink"} if scaled or not pool else {"autoscale"}
    left_out = fixed | (set() if pool else POOL)
    return [verb for verb in ORDERS if verb not in left_out]


def checked(verb: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options, as the worker gets them. Raises `WrongArguments`, by name."""
    wanted = OPTIONS.get(verb, ())
    wrong = {name: _("is no argument of this task.") for name in options if name not in wanted}
    given = {name: options.get(name) for name in wanted}
    for name in ("n", "min", "max"):
        if name in given and not _whole(given[name], MOST):
            wrong[name] = _("must be a whole number from 1 to %(most)d.") % {"most": MOST}
    for name in ("soft", "hard"):
        if name in given and given[name] is not None and not _whole(given[name], LONGEST):
            wrong[name] = _("must be a whole number from 1 to %(most)d.") % {"most": LONGEST}
    if "queue" in given and given["queue"] not in broker.queues():
        wrong["queue"] = _("is no queue that the project declares.")
    if "task_name" in given and given["task_name"] not in broker.registered():
        wrong["task_name"] = _("is no task that is registered.")
    if "rate_limit" in given and not _rate(given["rate_limit"]):
        wrong["rate_limit"] = _("must be like 10/s, 10/m or 10/h, or empty for no limit.")
    if not wrong and verb == "autoscale" and int(given["min"] or 0) > int(given["max"] or 0):
        wrong["min"] = _("must not be above the greatest size.")
    if wrong:
        raise WrongArguments(wrong)
    return given


def _chosen(verb: str, names: list[str]) -> list[Seen]:
    """The workers of these names that are known. Raises `WrongState` when one is not."""
    known = {seen.name: seen for seen in overview().workers}
    strangers = [name for name in names if name not in known]
    if not names or strangers:
        raise WrongState(
            _("Nothing was done: no such worker is known: %(names)s")
            % {"names": ", ".join(strangers[:5]) or "–"}
        )
    unable = [name for name in names if known[name].answered and verb not in possible(known[name])]
    if unable:
        raise WrongState(
            _("Nothing was done: this is not possible on %(names)s.")
            % {"names": ", ".join(unable[:5])}
        )
    return [known[name] for name in dict.fromkeys(names)]


def _whole(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


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
