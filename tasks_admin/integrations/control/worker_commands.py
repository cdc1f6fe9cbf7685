"""Worker commands: a change of a worker's own state, executed once, with its outcome.

A worker stores the outcome by the command's key. A command that arrives twice is executed once,
and the heartbeat of a worker that could not reply in time transmits the outcome later.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from celery.worker import state as worker_state
from celery.worker.control import Panel, control_command, inspect_command

from tasks_admin.integrations.control import paused_queues
from tasks_admin.integrations.control.requests import request
from tasks_admin.lib.conf import settings

#: Outcomes that a worker stores.
MAX_OUTCOMES = 1000
#: Pools that can change their size.
RESIZABLE_POOLS = {"prefork", "gevent", "eventlet"}
#: The exit status of a worker after a shutdown command.
EXIT_STATUS = 0

#: The outcomes of the commands that this process executed, by key; the heartbeat transmits them.
outcomes: "OrderedDict[str, dict[str, Any]]" = OrderedDict()
#: Called after each command, so that its outcome is transmitted at once.
outcome_listeners: list[Callable[[], None]] = []


@control_command()
def console_run_command(
    state: Any, key: str, command: str, arguments: dict[str, Any]
) -> dict[str, Any]:
    """Execute a command once; reply with `before`, `after`, and Celery's `ok` or `error`."""
    if key not in outcomes:
        outcomes[key] = _execute(state, command, arguments)
        while len(outcomes) > MAX_OUTCOMES:
            outcomes.popitem(last=False)
        for notify in outcome_listeners:
            notify()
    return outcomes[key]


@inspect_command()
def console_command_outcomes(state: Any, keys: list[str]) -> dict[str, dict[str, Any] | None]:
    """Reply with the outcomes of these commands; None for one that this process did not execute."""
    return {key: outcomes.get(key) for key in keys}


def send_command(
    key: str, command: str, arguments: dict[str, Any], *, destination: list[str]
) -> dict[str, dict[str, Any]]:
    """Send a command to these workers; return the outcomes by worker.

    A missing reply means neither success nor failure. Raises `BrokerUnreachable`: the workers may
    have received the command all the same.
    """
    call = {"key": key, "command": command, "arguments": arguments}
    replies = request(
        "console_run_command", arguments=call, destination=destination, expected=destination
    )
    return {name: reply for name, reply in replies if isinstance(reply, dict)}


def command_outcomes(
    keys: list[str], *, destination: list[str]
) -> list[tuple[str, str, dict[str, Any] | None]]:
    """The outcomes of commands: (worker, key, outcome; None if it did not execute the command).

    A worker reads its messages in their order: a worker that replies None to a command that was
    sent before never received it. Raises `BrokerUnreachable`.
    """
    replies = request(
        "console_command_outcomes",
        arguments={"keys": keys},
        destination=destination,
        expected=destination,
    )
    return [
        (name, key, reply[key] if isinstance(reply[key], dict) else None)
        for name, reply in replies
        if isinstance(reply, dict)
        for key in keys
        if key in reply
    ]


def _execute(state: Any, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
    read = READERS.get(command)
    if read is None:
        return {"error": f"unknown command {command}"[:200]}
    before = read(state, arguments)
    try:
        reply = HANDLERS.get(command, _celery_handler(command))(state, **arguments)
    except Exception as error:  # a pool may raise anything: its text is the reply
        return {"error": f"{error}" or type(error).__name__, "before": before}
    reply = dict(reply) if isinstance(reply, dict) else {"ok": str(reply)}
    return reply | {"before": before, "after": read(state, arguments)}


def _celery_handler(command: str) -> Callable[..., Any]:
    """Celery's own command of that name."""
    return lambda state, **arguments: Panel.data[command](state, **arguments)


def _grow(state: Any, n: int) -> Any:
    limit = settings.POOL_MOST
    if _size(state, {}) + n > limit:
        return {"error": f"the pool would have more than {limit} processes"}
    return Panel.data["pool_grow"](state, n=n)


def _shrink(state: Any, n: int) -> Any:
    if _size(state, {}) - n < 1:
        return {"error": "the pool would have no process left"}
    return Panel.data["pool_shrink"](state, n=n)


def _add_consumer(state: Any, queue: str) -> dict[str, str]:
    """At once: Celery's own command does it in the next turn of the loop, after the reply."""
    if queue in paused_queues.paused:
        return {"error": f"{queue} is paused"}
    state.consumer.add_task_queue(queue)
    return {"ok": f"consumes {queue}"}


def _cancel_consumer(state: Any, queue: str) -> dict[str, str]:
    state.consumer.cancel_task_queue(queue)
    paused_queues.withdrawn.discard(queue)  # resuming the queue does not add the consumer again
    return {"ok": f"no longer consumes {queue}"}


def _apply_paused_queues(state: Any, paused: list[str], revision: int) -> dict[str, str]:
    paused_queues.apply(state.consumer, paused, revision)
    return {"ok": "applied"}


def _shut_down(state: Any) -> dict[str, str]:
    """Stop when the running tasks have finished; the reply is sent before."""
    worker_state.should_stop = EXIT_STATUS  # type: ignore[assignment]
    return {"ok": "stops"}


def _size(state: Any, _arguments: dict[str, Any]) -> Any:
    return state.consumer.pool.num_processes


def _autoscale_range(state: Any, _arguments: dict[str, Any]) -> Any:
    scaler = state.consumer.controller.autoscaler
    return f"{scaler.min_concurrency}-{scaler.max_concurrency}" if scaler else None


def _queues(state: Any, _arguments: dict[str, Any]) -> Any:
    return ", ".join(sorted(queue.name for queue in state.consumer.task_consumer.queues))


def _rate_limit(state: Any, arguments: dict[str, Any]) -> Any:
    task = state.app.tasks.get(arguments.get("task_name"))
    return getattr(task, "rate_limit", None)


def _time_limits(state: Any, arguments: dict[str, Any]) -> Any:
    task = state.app.tasks.get(arguments.get("task_name"))
    return f"{getattr(task, 'soft_time_limit', None)} / {getattr(task, 'time_limit', None)}"


def _events(state: Any, _arguments: dict[str, Any]) -> Any:
    return "task" in getattr(state.consumer.event_dispatcher, "groups", ())


#: The value that a command changes, read before and after. Other commands are not executed.
READERS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "pool_grow": _size,
    "pool_shrink": _size,
    "autoscale": _autoscale_range,
    "pool_restart": _size,
    "add_consumer": _queues,
    "cancel_consumer": _queues,
    "rate_limit": _rate_limit,
    "time_limit": _time_limits,
    "enable_events": _events,
    "disable_events": _events,
    "shut_down": lambda state, _arguments: None,
    "pause_queue": _queues,
    "resume_queue": _queues,
}
HANDLERS: dict[str, Callable[..., Any]] = {
    "pool_grow": _grow,
    "pool_shrink": _shrink,
    "add_consumer": _add_consumer,
    "cancel_consumer": _cancel_consumer,
    "shut_down": _shut_down,
    "pause_queue": _apply_paused_queues,
    "resume_queue": _apply_paused_queues,
}
