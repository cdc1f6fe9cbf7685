"""The one door to Celery's control API: who is there, and what they are doing.

All workers are asked at once, on a connection of our own: Celery's own `inspect` takes two
connections from the process's pool, and ten such calls at a time leave it hanging for good.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from celery import current_app
from celery.app.control import Control
from celery.concurrency.prefork import TaskPool
from celery.worker import state as worker_state
from celery.worker.control import control_command, inspect_command
from celery.worker.request import Request

from tasks_admin.broker import connected
from tasks_admin.conf import settings
from tasks_admin.errors import BrokerUnreachable

#: What a process is ended with: it may clean up, and may take its time.
TERM = "SIGTERM"
#: Seconds for which a snapshot is shown to everybody who asks.
FRESH = 2.0
#: The longest list of tasks that one worker tells.
MOST = 200

_lock = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class WorkerView:
    """What one worker said of itself. Times in seconds."""

    name: str
    pool: str
    processes: int
    uptime: float
    total: int
    queues: list[str] = field(default_factory=list)
    running: list[dict[str, Any]] = field(default_factory=list)
    reserved: list[dict[str, Any]] = field(default_factory=list)
    scheduled: list[dict[str, Any]] = field(default_factory=list)

    @property
    def up_for(self) -> timedelta:
        """How long it has been up."""
        return timedelta(seconds=round(self.uptime))


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """All workers that answered, and when (`time.monotonic`)."""

    workers: list[WorkerView]
    taken_at: float
    #: Why nobody could be asked; empty when all were.
    trouble: str = ""


_last: Snapshot | None = None


@inspect_command()
def console_snapshot(state: Any) -> dict[str, Any]:
    """Tell in one reply what the workers page shows. Ids and names only: no arguments."""
    consumer = state.consumer
    stats = consumer.controller.stats()
    pool = stats.get("pool") or {}
    reserved = set(worker_state.reserved_requests) - set(worker_state.active_requests)
    timed = [entry.entry.args[:1] for entry in list(consumer.timer.schedule.queue)]
    scheduled = [args[0] for args in timed if args and isinstance(args[0], Request)]
    return {
        "pool": str(pool.get("implementation", "")).partition(":")[0].rpartition(".")[2],
        "processes": pool.get("max-concurrency") or 0,
        "uptime": stats.get("uptime") or 0,
        "total": sum((stats.get("total") or {}).values()),
        "queues": [queue.name for queue in consumer.task_consumer.queues],
        "running": [_told(request) for request in list(worker_state.active_requests)[:MOST]],
        "reserved": [_told(request) for request in list(reserved)[:MOST]],
        "scheduled": [_told(request) for request in scheduled[:MOST]],
    }


def _told(request: Any) -> dict[str, Any]:
    return {"id": request.id, "name": request.name, "started": request.time_start}


def snapshot() -> Snapshot:
    """Ask all workers at once; one question at a time per process, kept for two seconds.

    Raises `BrokerUnreachable`, to all who asked meanwhile. A worker that does not answer within
    `CONTROL_TIMEOUT` is not in the list, which does not mean that it is gone.
    """
    global _last
    with _lock:
        if _last is None or time.monotonic() - _last.taken_at > FRESH:
            _last = _take()
        if _last.trouble:
            raise BrokerUnreachable(_last.trouble)
        return _last


def _take() -> Snapshot:
    try:
        workers = sorted(_answers(), key=lambda view: view.name)
    except BrokerUnreachable as error:
        return Snapshot(workers=[], taken_at=time.monotonic(), trouble=str(error))
    return Snapshot(workers=workers, taken_at=time.monotonic())


def _answers() -> list[WorkerView]:
    replies = _ask("console_snapshot")
    views = (_view(name, told) for reply in replies for name, told in reply.items())
    return [view for view in views if view]


def revoke(task_ids: list[str]) -> None:
    """Tell all workers to drop these tasks when they come; nobody answers. See `revocations`."""
    arguments = {"task_id": task_ids, "terminate": False, "signal": "SIGTERM"}
    _ask("revoke", arguments=arguments, reply=False)


@control_command()
def console_terminate(state: Any, task_ids: list[str]) -> dict[str, Any]:
    """End those of these tasks that run here at this moment, each with SIGTERM to its process.

    The look and the signal are one step, in the process that hands out the tasks. Celery's own
    `revoke` would keep the id in mind also where nothing runs.
    """
    wanted = set(task_ids)
    running = [one for one in list(worker_state.active_requests) if one.id in wanted]
    pool = state.consumer.pool
    if not isinstance(pool, TaskPool):
        return {"refused": [request.id for request in running]}
    for request in running:
        worker_state.revoked.add(request.id)  # should it wait to be tried again by then
        request.terminate(pool, signal=TERM)
    return {"signalled": {request.id: request.worker_pid for request in running}}


@inspect_command()
def console_processes(state: Any) -> list[int]:
    """Tell the process ids of the pool."""
    return list((state.consumer.pool.info or {}).get("processes") or [])


@dataclass(frozen=True, kw_only=True)
class Termination:
    """What the workers said when they were asked to end tasks."""

    #: Who answered. Whoever did not may still do it when it wakes up.
    answered: frozenset[str]
    #: The process that each task ran in, by its id: (worker, pid). It was told to end.
    signalled: dict[str, tuple[str, int]]
    #: Tasks that run where no single task can be ended.
    refused: frozenset[str]


def terminate(task_ids: list[str]) -> Termination:
    """Ask all workers to end those of these tasks that they run."""
    replies = _ask("console_terminate", arguments={"task_ids": task_ids})
    told = {str(name): said for reply in replies for name, said in reply.items()}
    told = {name: said for name, said in told.items() if isinstance(said, Mapping)}
    return Termination(
        answered=frozenset(told),
        signalled={
            str(task_id): (name, int(pid))
            for name, said in told.items()
            for task_id, pid in (said.get("signalled") or {}).items()
        },
        refused=frozenset(
            str(task_id) for said in told.values() for task_id in said.get("refused") or ()
        ),
    )


def processes() -> set[tuple[str, int]]:
    """The processes of all pools that answer: (worker, pid)."""
    replies = _ask("console_processes")
    told = [(name, said) for reply in replies for name, said in reply.items()]
    return {(str(name), int(pid)) for name, said in told if isinstance(said, list) for pid in said}


def running() -> set[str]:
    """The ids of the tasks that the workers say they run at this moment; asked anew."""
    return {str(task["id"]) for worker in _answers() for task in worker.running}


def known(task_ids: list[str]) -> set[str] | None:
    """Those of these tasks that a worker runs or keeps; None when no worker answers."""
    replies = _ask("query_task", arguments={"ids": task_ids})
    if not replies:
        return None
    told = [reply for answer in replies for reply in answer.values() if isinstance(reply, Mapping)]
    return {str(task_id) for reply in told for task_id in reply}


def told_to_revoke(task_id: str) -> bool:
    """Whether this worker was told to drop a task."""
    return task_id in worker_state.revoked


def anybody() -> bool:
    """Whether at least one worker answers; returns with the first answer."""
    return bool(_ask("ping", limit=1))


def _ask(
    command: str,
    limit: int | None = None,
    arguments: dict[str, Any] | None = None,
    reply: bool = True,
) -> list[dict[str, Any]]:
    control: Any = Control(current_app)
    control.mailbox._producer_pool = None  # publish on the connection passed, not on a pooled one
    with connected() as connection:
        replies = control.broadcast(
            command,
            arguments=arguments,
            reply=reply,
            timeout=settings.CONTROL_TIMEOUT,
            limit=limit,
            connection=connection,
        )
    return replies or []


def _view(name: str, told: Any) -> WorkerView | None:
    """Read a reply; None for what is not one of ours (another app, another version)."""
    if not isinstance(told, Mapping):
        return None
    try:
        return WorkerView(name=str(name), **told)
    except TypeError:
        return None
