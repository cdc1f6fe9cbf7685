"""What staff can tell workers to do, with a truthful outcome for each of them."""

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from tasks_admin import operations
from tasks_admin.integrations import control
from tasks_admin.lib.errors import WrongArguments, WrongState
from tasks_admin.lib.verbs import WORKER_COMMANDS
from tasks_admin.models import Operation
from tasks_admin.workers import commands
from tasks_admin.workers.options import checked
from tasks_admin.workers.overview import Seen, State, overview

if TYPE_CHECKING:
    from django.contrib.auth.models import User

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
    if verb not in WORKER_COMMANDS:
        raise WrongState(_("Workers can't be told to do that."))
    names = _chosen(verb, names)
    arguments = checked(verb, names, options or {})
    left = would_orphan(verb, names, arguments)
    if left and typed.replace(" ", "") != ",".join(left):
        text = _("Nobody else consumes %(queues)s. Type that to go on.")
        raise WrongArguments({"typed": text % {"queues": ",".join(left)}})
    operation = commands.record(verb=verb, names=names, actor=actor, reason=reason, about=arguments)
    commands.give(operation, arguments, names=names)
    return operation


def would_orphan(verb: str, names: list[str], options: dict[str, Any]) -> list[str]:
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
    """What this worker can be told at all; a silent one may hear it when it wakes up."""
    if seen.state in {State.FOREIGN, State.STOPPED}:
        return []
    if seen.duplicate_name:  # both would do it, and what one of them says would be taken for both
        return ["shut_down"]
    if not seen.view.pool:  # it never told: it will answer for itself
        return list(WORKER_COMMANDS)
    pool = seen.view.pool in control.RESIZABLE
    scaled = seen.view.autoscale is not None
    fixed = {"pool_grow", "pool_shrink"} if scaled or not pool else {"autoscale"}
    excluded = fixed | (set() if pool else POOL)
    return [verb for verb in WORKER_COMMANDS if verb not in excluded]


def able(verb: str) -> list[str]:
    """All workers that answer, where this is possible."""
    known = overview().workers
    return [seen.name for seen in known if seen.answered and verb in possible(seen)]


def _chosen(verb: str, names: list[str]) -> list[str]:
    """These workers, each once. Raises `WrongState` when one is not known or can't do it."""
    known = {seen.name: seen for seen in overview().workers}
    strangers = [name for name in names if name not in known]
    if not names or strangers:
        raise WrongState(
            _("Nothing was done: no such worker is known: %(names)s")
            % {"names": ", ".join(strangers[:5]) or "–"}
        )
    unable = [name for name in names if verb not in possible(known[name])]
    if unable:
        raise WrongState(
            _("Nothing was done: this is not possible on %(names)s.")
            % {"names": ", ".join(unable[:5])}
        )
    return list(dict.fromkeys(names))
