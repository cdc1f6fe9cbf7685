"""The actions that staff can perform on workers: commands, with an outcome for each worker."""

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from tasks_admin import operations
from tasks_admin.integrations import control
from tasks_admin.lib.errors import WrongArguments, WrongState
from tasks_admin.lib.verbs import WORKER_COMMANDS
from tasks_admin.models import Operation
from tasks_admin.workers import commands
from tasks_admin.workers.options import validate
from tasks_admin.workers.overview import State, WorkerStatus, overview

if TYPE_CHECKING:
    from django.contrib.auth.models import User

POOL_COMMANDS = {"pool_grow", "pool_shrink", "autoscale", "pool_restart"}
#: The commands that may leave a queue without a consumer.
ORPHANING_COMMANDS = {"shut_down", "cancel_consumer"}


def send_command(
    *,
    verb: str,
    names: list[str],
    actor: "User",
    reason: str,
    options: dict[str, Any] | None = None,
    confirmed_queues: str = "",
) -> Operation:
    """Send a command to these workers, and record the outcome of each.

    The operation is recorded before the command is sent, with unknown outcomes; a worker that does
    not reply keeps its unknown outcome. `confirmed_queues` repeats the names from `would_orphan`,
    separated by commas. Raises `WrongArguments` or `WrongState` before anything is recorded.
    """
    operations.require(actor, verb)
    if verb not in WORKER_COMMANDS:
        raise WrongState(_("This is not a worker command."))
    names = _require_available(verb, names)
    arguments = validate(verb, names, options or {})
    orphaned = would_orphan(verb, names, arguments)
    if orphaned and confirmed_queues.replace(" ", "") != ",".join(orphaned):
        text = _("These queues would have no consumer: %(queues)s. Type their names to confirm.")
        raise WrongArguments({"confirmed_queues": text % {"queues": ",".join(orphaned)}})
    operation = commands.record(
        verb=verb, names=names, actor=actor, reason=reason, arguments=arguments
    )
    commands.send(operation, arguments, names=names)
    return operation


def would_orphan(verb: str, names: list[str], options: dict[str, Any]) -> list[str]:
    """Return the queues that would lose their last consumer; only workers that reply count."""
    if verb not in ORPHANING_COMMANDS:
        return []
    online = [worker for worker in overview().workers if worker.replied]
    affected = {queue for worker in online if worker.name in names for queue in worker.view.queues}
    if verb == "cancel_consumer":
        affected &= {options.get("queue")}
    kept = {queue for worker in online if worker.name not in names for queue in worker.view.queues}
    return sorted(affected - kept)


def available_commands(worker: WorkerStatus) -> list[str]:
    """Return the commands that this worker supports.

    A worker that does not respond is included: it runs the command when it recovers.
    """
    if worker.state in {State.UNMANAGED, State.STOPPED}:
        return []
    if worker.duplicate_name:  # both would run it, and one reply would be taken for both
        return ["shut_down"]
    if not worker.view.pool:  # no snapshot yet: the worker itself refuses what it cannot do
        return list(WORKER_COMMANDS)
    resizable = worker.view.pool in control.RESIZABLE_POOLS
    autoscaled = worker.view.autoscale is not None
    fixed = {"pool_grow", "pool_shrink"} if autoscaled or not resizable else {"autoscale"}
    unavailable = fixed | (set() if resizable else POOL_COMMANDS)
    return [verb for verb in WORKER_COMMANDS if verb not in unavailable]


def online_workers_for(verb: str) -> list[str]:
    """Return the names of the workers that replied and support a command."""
    known = overview().workers
    return [
        worker.name for worker in known if worker.replied and verb in available_commands(worker)
    ]


def _require_available(verb: str, names: list[str]) -> list[str]:
    """Return each name once. Raises `WrongState` if a worker is unknown or lacks the command."""
    known = {worker.name: worker for worker in overview().workers}
    unknown = [name for name in names if name not in known]
    if not names:
        raise WrongState(_("Select at least one worker."))
    if unknown:
        text = _("Nothing was changed: unknown worker: %(names)s.")
        raise WrongState(text % {"names": ", ".join(unknown[:5])})
    unable = [name for name in names if verb not in available_commands(known[name])]
    if unable:
        text = _("Nothing was changed: the command is not available on %(names)s.")
        raise WrongState(text % {"names": ", ".join(unable[:5])})
    return list(dict.fromkeys(names))
