"""Commands that our workers know: what they tell of themselves, and what they can be told to do."""

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

#: What a process is ended with: it may clean up, and may take its time.
TERM = "SIGTERM"
#: The longest list of tasks that one worker tells, and of anything else.
MOST, MOST_NAMES = 200, 1000
#: Characters of a name that are told.
LONGEST = 255


@inspect_command()
def console_snapshot(state: Any) -> dict[str, Any]:
    """Tell in one reply what the workers page shows. Ids and names only: no arguments."""
    return told(state.consumer)


@inspect_command()
def console_details(state: Any) -> dict[str, Any]:
    """Tell what the page of one worker shows beside that: tasks, limits, settings; masked here."""
    consumer = state.consumer
    app = consumer.app
    broker = consumer.connection_for_read().as_uri()
    return {
        "tasks": [_task(task) for task in list(app.tasks.values())[:MOST_NAMES]],
        "settings": _settings(app),
        "broker": masks.mask_text(broker),
    }


def told(consumer: Any) -> dict[str, Any]:
    """What a worker tells of itself. Times in seconds, memory in bytes; None is not known."""
    stats = consumer.controller.stats()
    pool = stats.get("pool") or {}
    # A set that another thread changes can't be walked through; a copy is made in one step.
    active = list(worker_state.active_requests)
    reserved = set(worker_state.reserved_requests) - set(active)
    timed = [entry.entry.args[:1] for entry in list(consumer.timer.schedule.queue)]
    waiting = [args[0] for args in timed if args and isinstance(args[0], Request)]
    totals = stats.get("total") or {}
    autoscaler = getattr(consumer.controller, "autoscaler", None)
    pids = [pid for pid in pool.get("processes") or [] if isinstance(pid, int)]
    return {
        "pool": str(pool.get("implementation", "")).partition(":")[0].rpartition(".")[2],
        # Celery's `max-concurrency` is what the pool began with.
        "processes": getattr(consumer.pool, "num_processes", None) or 0,
        "pids": pids[:MOST],
        "pid": os.getpid(),
        "uptime": stats.get("uptime") or 0,
        "total": sum(totals.values()),
        "totals": dict(sorted(totals.items(), key=lambda item: -item[1])[:MOST]),
        "queues": [queue.name for queue in consumer.task_consumer.queues],
        "paused_queues": sorted(paused_queues.paused_queues),
        "held": _held([*active, *reserved, *waiting]),
        "running": [_request(request) for request in active[:MOST]],
        "running_count": len(active),
        "reserved": [_request(request) for request in list(reserved)[:MOST]],
        "reserved_count": len(reserved),
        "scheduled": [_request(request) for request in waiting[:MOST]],
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


#: Tasks that were taken from each queue since the worker started.
taken: Counter[str] = Counter()


def count_taken(sender: Any = None, request: Any = None, **_: Any) -> None:
    """Count a task by its queue; called by Celery's `task_received`."""
    taken[_queue(request)] += 1


def _queue(request: Any) -> str:
    """The queue that a task came from, as far as its address tells."""
    address = getattr(request, "delivery_info", None) or {}
    return str(address.get("routing_key") or "")[:LONGEST]


def _held(requests: list[Any]) -> dict[str, int]:
    """How many tasks of each queue the worker has: running, reserved, or waiting for their time."""
    return dict(Counter(_queue(request) for request in {id(one): one for one in requests}.values()))


def told_to_revoke(task_id: str) -> bool:
    """Whether this worker was told to drop a task."""
    return task_id in worker_state.revoked


@inspect_command()
def console_running(state: Any, task_ids: list[str]) -> list[str]:
    """Tell which of these tasks run here at this moment."""
    running = {request.id for request in list(worker_state.active_requests)}
    return [task_id for task_id in task_ids if task_id in running]


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


def _versions() -> dict[str, str]:
    versions = {"celery": celery.__version__, "python": platform.python_version()}
    own = str(settings.APP_VERSION)[:LONGEST]
    return versions | ({"app": own} if own else {})


def _settings(app: Any) -> dict[str, str]:
    """Celery's own settings, as far as the project changed them, masked."""
    changed = {
        name: app.conf[name]
        for name, option in sorted(DEFAULTS.items())
        if app.conf[name] != option
    }
    return {
        name: str(maybe_sanitize_url(value) if isinstance(value, str) else value)[:LONGEST]
        for name, value in masks.mask(changed).items()
    }


def _request(request: Any) -> dict[str, Any]:
    eta = getattr(request, "eta", None)
    return {
        "id": request.id,
        "name": str(request.name)[:LONGEST],
        "started": request.time_start,
        "pid": request.worker_pid,
        "eta": str(eta)[:40] if eta else None,
    }


def _task(task: Any) -> dict[str, Any]:
    limits = ("rate_limit", "time_limit", "soft_time_limit", "max_retries")
    return {"name": str(task.name)[:LONGEST], **{name: getattr(task, name) for name in limits}}


def _memory(pids: list[int]) -> int | None:
    """Resident memory of these processes together; None where the system does not tell."""
    try:
        pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids]
        return sum(pages) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):  # another system, or one of them has just ended
        return None
