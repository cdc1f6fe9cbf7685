"""Commands that managed workers register: snapshots of a worker, and terminating tasks."""

import os
import platform
from collections import Counter
from pathlib import Path
from typing import Any

import celery
from celery.app.defaults import DEFAULTS
from celery.concurrency.prefork import TaskPool
from celery.worker import state as worker_state
from celery.worker.control import control_command, inspect_command
from celery.worker.request import Request
from kombu.utils.url import maybe_sanitize_url

from tasks_admin.integrations.control import paused_queues
from tasks_admin.lib import masks
from tasks_admin.lib.conf import settings

#: The signal that terminates a task: its process can clean up.
TERM = "SIGTERM"
#: Items of a list of tasks in a snapshot, and of any other list.
MAX_TASKS, MAX_NAMES = 200, 1000
#: Characters of a name in a snapshot.
MAX_LENGTH = 255


@inspect_command()
def console_snapshot(state: Any) -> dict[str, Any]:
    """Reply with everything that the workers page shows: ids and names, no arguments."""
    return worker_snapshot(state.consumer)


@inspect_command()
def console_details(state: Any) -> dict[str, Any]:
    """Reply with what the page of one worker adds: tasks, limits and settings; masked here."""
    consumer = state.consumer
    app = consumer.app
    broker = consumer.connection_for_read().as_uri()
    return {
        "tasks": [_task(task) for task in list(app.tasks.values())[:MAX_NAMES]],
        "settings": _settings(app),
        "broker": masks.mask_text(broker),
    }


def worker_snapshot(consumer: Any) -> dict[str, Any]:
    """The state of this worker. Times in seconds, memory in bytes; None: not known."""
    stats = consumer.controller.stats()
    pool = stats.get("pool") or {}
    # Another thread changes these sets: iterating over them could fail. A copy is atomic.
    active = list(worker_state.active_requests)
    reserved = set(worker_state.reserved_requests) - set(active)
    timed = [entry.entry.args[:1] for entry in list(consumer.timer.schedule.queue)]
    waiting = [args[0] for args in timed if args and isinstance(args[0], Request)]
    totals = stats.get("total") or {}
    autoscaler = getattr(consumer.controller, "autoscaler", None)
    pids = [pid for pid in pool.get("processes") or [] if isinstance(pid, int)]
    return {
        "pool": str(pool.get("implementation", "")).partition(":")[0].rpartition(".")[2],
        # Celery's `max-concurrency` is the size with which the pool started.
        "processes": getattr(consumer.pool, "num_processes", None) or 0,
        "pids": pids[:MAX_TASKS],
        "pid": os.getpid(),
        "uptime": stats.get("uptime") or 0,
        "total": sum(totals.values()),
        "totals": dict(sorted(totals.items(), key=lambda item: -item[1])[:MAX_TASKS]),
        "queues": [queue.name for queue in consumer.task_consumer.queues],
        "paused_queues": sorted(paused_queues.withdrawn),
        "held": _held([*active, *reserved, *waiting]),
        "running": [_request(request) for request in active[:MAX_TASKS]],
        "running_count": len(active),
        "reserved": [_request(request) for request in list(reserved)[:MAX_TASKS]],
        "reserved_count": len(reserved),
        "scheduled": [_request(request) for request in waiting[:MAX_TASKS]],
        "scheduled_count": len(waiting),
        "revoked": len(worker_state.revoked),
        "prefetch": stats.get("prefetch_count"),
        "memory": _memory([os.getpid(), *pids]),
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else [],
        "events": bool(getattr(consumer.event_dispatcher, "enabled", False)),
        "autoscale": [autoscaler.min_concurrency, autoscaler.max_concurrency]
        if autoscaler
        else None,
        "versions": _versions(),
    }


#: Tasks that this worker has taken from each queue since it started.
taken: Counter[str] = Counter()


def count_taken(sender: Any = None, request: Any = None, **_: Any) -> None:
    """Count a task by its queue. Receiver of Celery's `task_received`."""
    taken[_queue(request)] += 1


def _queue(request: Any) -> str:
    """The queue that delivered a task, as far as its delivery info names it."""
    delivery = getattr(request, "delivery_info", None) or {}
    return str(delivery.get("routing_key") or "")[:MAX_LENGTH]


def _held(requests: list[Any]) -> dict[str, int]:
    """The number of tasks of each queue that the worker runs, has reserved or has scheduled."""
    return dict(Counter(_queue(request) for request in {id(one): one for one in requests}.values()))


def is_revoked(task_id: str) -> bool:
    """Whether this worker has received a revoke of the task."""
    return task_id in worker_state.revoked


@inspect_command()
def console_running(state: Any, task_ids: list[str]) -> list[str]:
    """Reply with the ones of these tasks that run here at this moment."""
    running = {request.id for request in list(worker_state.active_requests)}
    return [task_id for task_id in task_ids if task_id in running]


@control_command()
def console_terminate(state: Any, task_ids: list[str]) -> dict[str, Any]:
    """Terminate the ones of these tasks that run here now, each by SIGTERM to its process.

    The check and the signal are one step, in the process that assigns the tasks. Celery's own
    `revoke` would also remember the ids of tasks that do not run here.
    """
    wanted = set(task_ids)
    running = [one for one in list(worker_state.active_requests) if one.id in wanted]
    pool = state.consumer.pool
    if not isinstance(pool, TaskPool):
        return {"refused": [request.id for request in running]}
    for request in running:
        worker_state.revoked.add(request.id)  # in case it waits for a retry by then
        request.terminate(pool, signal=TERM)
    return {"signalled": {request.id: request.worker_pid for request in running}}


@inspect_command()
def console_processes(state: Any) -> list[int]:
    """Reply with the process ids of the pool."""
    return list((state.consumer.pool.info or {}).get("processes") or [])


def _versions() -> dict[str, str]:
    versions = {"celery": celery.__version__, "python": platform.python_version()}
    own = str(settings.APP_VERSION)[:MAX_LENGTH]
    return versions | ({"app": own} if own else {})


def _settings(app: Any) -> dict[str, str]:
    """The settings of Celery that the project changed, masked."""
    changed = {
        name: app.conf[name]
        for name, option in sorted(DEFAULTS.items())
        if app.conf[name] != option
    }
    return {
        name: str(maybe_sanitize_url(value) if isinstance(value, str) else value)[:MAX_LENGTH]
        for name, value in masks.mask(changed).items()
    }


def _request(request: Any) -> dict[str, Any]:
    eta = getattr(request, "eta", None)
    return {
        "id": request.id,
        "name": str(request.name)[:MAX_LENGTH],
        "started": request.time_start,
        "pid": request.worker_pid,
        "eta": str(eta)[:40] if eta else None,
    }


def _task(task: Any) -> dict[str, Any]:
    limits = ("rate_limit", "time_limit", "soft_time_limit", "max_retries")
    return {"name": str(task.name)[:MAX_LENGTH], **{name: getattr(task, name) for name in limits}}


def _memory(pids: list[int]) -> int | None:
    """The total resident memory of these processes; None if the system does not provide it."""
    try:
        pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids]
        return sum(pages) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):  # no /proc, or a process has just ended
        return None
