"""Snapshots: all workers at one moment, requested once for all readers."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from tasks_admin.integrations.control import unmanaged
from tasks_admin.integrations.control.commands import MAX_TASKS
from tasks_admin.integrations.control.replies import sanitize_reply
from tasks_admin.integrations.control.requests import online, request
from tasks_admin.lib import masks
from tasks_admin.lib.errors import BrokerUnreachable

#: Seconds for which a process reuses a snapshot.
CACHE_TTL = 2.0
#: Characters of a worker's name that are shown.
MAX_NAME_LENGTH = 255
#: Unmanaged workers that get more requests than the first.
MAX_UNMANAGED = 100

_lock = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class WorkerView:
    """The state of one worker. Times in seconds, memory in bytes; None: not known."""

    name: str
    pool: str = ""
    processes: int = 0
    pids: list[int] = field(default_factory=list)
    pid: int = 0
    uptime: float = 0
    total: int = 0
    totals: dict[str, int] = field(default_factory=dict)
    queues: list[str] = field(default_factory=list)
    #: Queues that it is configured to consume and does not, because they are paused.
    paused_queues: list[str] = field(default_factory=list)
    #: The number of its tasks by queue: running, reserved or scheduled.
    held: dict[str, int] = field(default_factory=dict)
    running: list[dict[str, Any]] = field(default_factory=list)
    running_count: int = 0
    reserved: list[dict[str, Any]] = field(default_factory=list)
    reserved_count: int = 0
    scheduled: list[dict[str, Any]] = field(default_factory=list)
    scheduled_count: int = 0
    revoked: int = 0
    prefetch: int | None = None
    memory: int | None = None
    load: list[float] = field(default_factory=list)
    events: bool = False
    autoscale: list[int] | None = None
    versions: dict[str, str] = field(default_factory=dict)
    #: It replied, and does not have `tasks_admin` installed.
    unmanaged: bool = False

    @property
    def up_for(self) -> timedelta:
        """The time since it started."""
        return timedelta(seconds=round(self.uptime))


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """All workers that replied, and when (`time.monotonic`)."""

    workers: list[WorkerView]
    taken_at: float
    #: Why the request failed; empty if it did not.
    error: str = ""


_last: Snapshot | None = None
#: The types of the values in a reply.
TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("pool",), (str,)),
    **dict.fromkeys(("totals", "versions", "held"), (dict,)),
    **dict.fromkeys(("processes", "pid", "total", "revoked"), (int,)),
    **dict.fromkeys(("running_count", "reserved_count", "scheduled_count"), (int,)),
    **dict.fromkeys(("pids", "queues", "paused_queues", "load"), (list,)),
    **dict.fromkeys(("running", "reserved", "scheduled"), (list,)),
    **dict.fromkeys(("prefetch", "memory"), (int, type(None))),
    "autoscale": (list, type(None)),
    "events": (bool,),
    "uptime": (int, float),
}


def clear_cache() -> None:
    """Let the next call of `snapshot` send a request: something has changed."""
    global _last
    _last = None


def snapshot() -> Snapshot:
    """All workers that reply. A process sends one request at a time, and reuses the snapshot.

    Raises `BrokerUnreachable`, in all callers that waited for the same request. A worker that does
    not reply within `CONTROL_TIMEOUT` is missing, which does not mean that it has stopped.
    """
    global _last
    with _lock:
        last = _last
        if last is None or time.monotonic() - last.taken_at > CACHE_TTL:
            _last = last = _take()
    if last.error:
        raise BrokerUnreachable(last.error)
    return last


def current_views() -> list[WorkerView]:
    """The state of all workers that reply now; a request without the cache."""
    known, discovered = online(), unmanaged.discovered_workers
    discovered.discover_periodically()
    skipped = discovered.unmanaged - known
    expected = known | discovered.names - skipped
    replies = request("console_snapshot", expected=expected, without=skipped)
    views = [view for name, reply in replies if (view := parse_snapshot(name, reply))]
    replied = {name for name, _reply in replies}
    new = {view.name for view in views if view.unmanaged}
    discovered.update(replied, missed=expected - replied, unmanaged=new)
    managed = [view for view in views if not view.unmanaged]
    return managed + _unmanaged_views(skipped | new)


def _unmanaged_views(names: set[str]) -> list[WorkerView]:
    """Unmanaged workers, as far as they reply to Celery's own commands."""
    found = unmanaged.snapshots(sorted(names)[:MAX_UNMANAGED])
    replied = {name for name, values in found.items() if values}
    unmanaged.discovered_workers.update(replied, missed=found.keys() - replied)
    return [_unmanaged_view(name, found[name]) for name in sorted(replied)]


def _unmanaged_view(name: str, values: dict[str, Any]) -> WorkerView:
    """An unmanaged worker; its name alone if its replies are not valid."""
    known = {key: value for key, value in values.items() if value is not None}
    view = parse_snapshot(name, known) or WorkerView(name=name[:MAX_NAME_LENGTH])
    return replace(view, unmanaged=True)


def worker_details(name: str) -> dict[str, Any]:
    """The tasks and settings of a worker, masked; empty if it does not reply."""
    reply = dict(request("console_details", destination=[name], expected=[name])).get(name)
    details = sanitize_reply(reply) if isinstance(reply, Mapping) else {}
    tasks, settings = details.get("tasks"), details.get("settings", {})
    if not isinstance(tasks, list) or not isinstance(settings, dict):
        return {}
    details["tasks"] = [task for task in tasks if isinstance(task, dict)]
    masked: dict[str, Any] = masks.mask(details)
    return masked


def _take() -> Snapshot:
    try:
        workers = sorted(current_views(), key=lambda view: view.name)
    except BrokerUnreachable as error:
        return Snapshot(workers=[], taken_at=time.monotonic(), error=str(error))
    return Snapshot(workers=workers, taken_at=time.monotonic())


def parse_snapshot(name: str, reply: Any) -> WorkerView | None:
    """Read a worker's reply to `console_snapshot`, sanitized; None if it is not valid.

    A worker that does not know the command replies with an error: it is unmanaged.
    """
    if not isinstance(reply, Mapping) or not name:
        return None
    if "error" in reply:
        return WorkerView(name=name[:MAX_NAME_LENGTH], unmanaged=True)
    known = {key: sanitize_reply(reply[key], max_items=MAX_TASKS) for key in TYPES if key in reply}
    invalid = [key for key, value in known.items() if not _is_valid(key, value)]
    if not known or invalid:
        return None
    for tasks in ("running", "reserved", "scheduled"):  # a worker of an older version
        known.setdefault(f"{tasks}_count", len(known.get(tasks, [])))
    return WorkerView(name=name[:MAX_NAME_LENGTH], **known)


def _is_valid(key: str, value: Any) -> bool:
    """Whether a value of a reply has the type that the pages show."""
    if key in {"running", "reserved", "scheduled"} and isinstance(value, list):
        return all(isinstance(task, Mapping) and "id" in task for task in value)
    if key in {"queues", "paused_queues"} and isinstance(value, list):
        return all(isinstance(name, str) for name in value)
    if key == "held" and isinstance(value, Mapping):
        return all(isinstance(count, int) for count in value.values())
    return isinstance(value, TYPES[key])
