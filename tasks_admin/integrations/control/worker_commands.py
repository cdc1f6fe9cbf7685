"""Orders: what a worker is told to do to itself, once, with what it was before and is after.

A worker keeps what it did by the order's key. An order that comes twice is done once, and a worker
that was silent when it was told says later what became of it: its signs of life bring that along.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from celery.worker import state as worker_state
from celery.worker.control import Panel, control_command, inspect_command

from tasks_admin.integrations.control import paused_queues
from tasks_admin.integrations.control.requests import ask
from tasks_admin.lib.conf import settings

#: Orders whose outcomes a worker keeps.
MOST = 1000
#: Pools that can change their size.
RESIZABLE = {"prefork", "gevent", "eventlet"}
#: The exit status of a worker that was told to stop.
STOP = 0

#: What was done here, by the order's key; told with the next sign of life.
done: "OrderedDict[str, dict[str, Any]]" = OrderedDict()
#: Called when something was done, so that it is told at once.
heard: list[Callable[[], None]] = []


@control_command()
def console_order(state: Any, key: str, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Do it, unless it was done; tell `before`, `after`, and `ok` or `error` in Celery's words."""
    if key not in done:
        done[key] = _do(state, command, arguments)
        while len(done) > MOST:
            done.popitem(last=False)
        for tell in heard:
            tell()
    return done[key]


@inspect_command()
def console_outcomes(state: Any, keys: list[str]) -> dict[str, dict[str, Any] | None]:
    """Tell what became of these orders here; None of one that this process did not carry out."""
    return {key: done.get(key) for key in keys}


def order(
    key: str, command: str, arguments: dict[str, Any], *, destination: list[str]
) -> dict[str, dict[str, Any]]:
    """Tell these workers to do something; return what each said, by name. Silence is no answer.

    Raises `BrokerUnreachable`: then nobody knows whether they were told.
    """
    told = {"key": key, "command": command, "arguments": arguments}
    said = ask("console_order", arguments=told, destination=destination, expected=destination)
    return {name: reply for name, reply in said if isinstance(reply, dict)}


def outcomes(
    keys: list[str], *, destination: list[str]
) -> list[tuple[str, str, dict[str, Any] | None]]:
    """What these workers say became of orders: (worker, key, what it did; None: nothing).

    A worker reads what it is told in its order. Who answers this and was told before it says None
    of what never reached it. Raises `BrokerUnreachable`.
    """
    arguments = {"keys": keys}
    said = ask(
        "console_outcomes", arguments=arguments, destination=destination, expected=destination
    )
    return [
        (name, key, reply[key] if isinstance(reply[key], dict) else None)
        for name, reply in said
        if isinstance(reply, dict)
        for key in keys
        if key in reply
    ]


def _do(state: Any, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
    aspect = ASPECTS.get(command)
    if aspect is None:
        return {"error": f"unknown command {command}"[:200]}
    before = aspect(state, arguments)
    try:
        said = ACTS.get(command, _celery(command))(state, **arguments)
    except Exception as error:  # whatever a pool raises is what it says
        return {"error": f"{error}" or type(error).__name__, "before": before}
    said = dict(said) if isinstance(said, dict) else {"ok": str(said)}
    return said | {"before": before, "after": aspect(state, arguments)}


def _celery(command: str) -> Callable[..., Any]:
    """Celery's own command of that name."""
    return lambda state, **arguments: Panel.data[command](state, **arguments)


def _grow(state: Any, n: int) -> Any:
    most = settings.POOL_MOST
    if _size(state, {}) + n > most:
        return {"error": f"the pool would have more than {most} processes"}
    return Panel.data["pool_grow"](state, n=n)


def _shrink(state: Any, n: int) -> Any:
    if _size(state, {}) - n < 1:
        return {"error": "the pool would have no process left"}
    return Panel.data["pool_shrink"](state, n=n)


def _consume(state: Any, queue: str) -> dict[str, str]:
    """At once, and not at the loop's next turn, as Celery's own: else nobody knows the outcome."""
    if queue in paused_queues.paused:
        return {"error": f"{queue} is paused"}
    state.consumer.add_task_queue(queue)
    return {"ok": "consumes it"}


def _ignore(state: Any, queue: str) -> dict[str, str]:
    state.consumer.cancel_task_queue(queue)
    paused_queues.paused_queues.discard(queue)  # nor does it when the queue is resumed
    return {"ok": "no longer consumes it"}


def _obey(state: Any, paused: list[str], decision: int) -> dict[str, str]:
    paused_queues.obey(state.consumer, paused, decision)
    return {"ok": "obeys"}


def _stop(state: Any) -> dict[str, str]:
    """Stop when what runs has ended; the reply is sent before."""
    worker_state.should_stop = STOP  # type: ignore[assignment]
    return {"ok": "stops"}


def _size(state: Any, _arguments: dict[str, Any]) -> Any:
    return state.consumer.pool.num_processes


def _range(state: Any, _arguments: dict[str, Any]) -> Any:
    scaler = state.consumer.controller.autoscaler
    return f"{scaler.min_concurrency}-{scaler.max_concurrency}" if scaler else None


def _queues(state: Any, _arguments: dict[str, Any]) -> Any:
    return ", ".join(sorted(queue.name for queue in state.consumer.task_consumer.queues))


def _rate(state: Any, arguments: dict[str, Any]) -> Any:
    task = state.app.tasks.get(arguments.get("task_name"))
    return getattr(task, "rate_limit", None)


def _limits(state: Any, arguments: dict[str, Any]) -> Any:
    task = state.app.tasks.get(arguments.get("task_name"))
    return f"{getattr(task, 'soft_time_limit', None)} / {getattr(task, 'time_limit', None)}"


def _events(state: Any, _arguments: dict[str, Any]) -> Any:
    return "task" in getattr(state.consumer.event_dispatcher, "groups", ())


#: What an order changes, before and after. What is not here is not done.
ASPECTS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "pool_grow": _size,
    "pool_shrink": _size,
    "autoscale": _range,
    "pool_restart": _size,
    "add_consumer": _queues,
    "cancel_consumer": _queues,
    "rate_limit": _rate,
    "time_limit": _limits,
    "enable_events": _events,
    "disable_events": _events,
    "shut_down": lambda state, _arguments: None,
    "pause_queue": _queues,
    "resume_queue": _queues,
}
ACTS: dict[str, Callable[..., Any]] = {
    "pool_grow": _grow,
    "pool_shrink": _shrink,
    "add_consumer": _consume,
    "cancel_consumer": _ignore,
    "shut_down": _stop,
    "pause_queue": _obey,
    "resume_queue": _obey,
}
