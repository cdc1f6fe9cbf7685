"""Snapshots: all workers at one moment, asked once for everybody who looks."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from tasks_admin.integrations.control import unmanaged
from tasks_admin.integrations.control.commands import MOST
from tasks_admin.integrations.control.replies import sanitize_reply
from tasks_admin.integrations.control.requests import ask, online
from tasks_admin.lib import masks
from tasks_admin.lib.errors import BrokerUnreachable

#: Seconds for which a snapshot is shown to everybody who asks.
FRESH = 2.0
#: Characters of a worker's name that are shown.
LONGEST = 255
#: Workers without the console that are asked more than their name.
MOST_FOREIGN = 100

_lock = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class WorkerView:
    """What one worker said of itself. Times in seconds, memory in bytes; None is not known."""

    name: str
    pool: str = ""
    processes: int = 0
    pids: list[int] = field(default_factory=list)
    pid: int = 0
    uptime: float = 0
    total: int = 0
    totals: dict[str, int] = field(default_factory=dict)
    queues: list[str] = field(default_factory=list)
    #: Those that it would consume and does not, because they are paused.
    paused_queues: list[str] = field(default_factory=list)
    #: Tasks that it has of each queue: running, reserved, or waiting for their time.
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
    #: It answered, and does not know our commands: another app, or one without the console.
    foreign: bool = False

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
#: What the parts of a reply must be.
KINDS: dict[str, tuple[type, ...]] = {
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


def forget() -> None:
    """Let the next one who looks ask anew: something was changed."""
    global _last
    _last = None


def snapshot() -> Snapshot:
    """Ask all workers at once; one question at a time per process, kept for two seconds.

    Raises `BrokerUnreachable`, to all who asked meanwhile. A worker that does not answer within
    `CONTROL_TIMEOUT` is not in the list, which does not mean that it is gone.
    """
    global _last
    with _lock:
        last = _last
        if last is None or time.monotonic() - last.taken_at > FRESH:
            _last = last = _take()
    if last.trouble:
        raise BrokerUnreachable(last.trouble)
    return last


def answers() -> list[WorkerView]:
    """What the workers say at this moment; asked anew."""
    known, unmanaged_workers = online(), unmanaged.unmanaged_workers
    unmanaged_workers.look_now_and_then()
    strangers = unmanaged_workers.strangers - known
    expected = known | unmanaged_workers.names - strangers
    replies = ask("console_snapshot", expected=expected, without=strangers)
    views = [one for name, told in replies if (one := view(name, told))]
    heard = {name for name, _told in replies}
    new = {one.name for one in views if one.foreign}
    unmanaged_workers.heard(heard, missed=expected - heard, strangers=new)
    return [one for one in views if not one.foreign] + _foreigners(strangers | new)


def _foreigners(names: set[str]) -> list[WorkerView]:
    """Workers without the console, as far as they answer Celery's own commands."""
    told = unmanaged.told(sorted(names)[:MOST_FOREIGN])
    answered = {name for name, last_snapshot in told.items() if last_snapshot}
    unmanaged.unmanaged_workers.heard(answered, missed=told.keys() - answered)
    return [_foreign(name, told[name]) for name in sorted(answered)]


def _foreign(name: str, last_snapshot: dict[str, Any]) -> WorkerView:
    """A worker without the console; as much as Celery's own commands tell, if that makes sense."""
    known = {key: value for key, value in last_snapshot.items() if value is not None}
    read = view(name, known)
    return replace(read, foreign=True) if read else WorkerView(name=name[:LONGEST], foreign=True)


def details(name: str) -> dict[str, Any]:
    """What a worker tells of its tasks and settings, masked; empty when it does not answer."""
    told = dict(ask("console_details", destination=[name], expected=[name])).get(name)
    read = sanitize_reply(told) if isinstance(told, Mapping) else {}
    tasks, settings = read.get("tasks"), read.get("settings", {})
    if not isinstance(tasks, list) or not isinstance(settings, dict):
        return {}
    read["tasks"] = [task for task in tasks if isinstance(task, dict)]
    masked: dict[str, Any] = masks.mask(read)
    return masked


def _take() -> Snapshot:
    try:
        workers = sorted(answers(), key=lambda one: one.name)
    except BrokerUnreachable as error:
        return Snapshot(workers=[], taken_at=time.monotonic(), trouble=str(error))
    return Snapshot(workers=workers, taken_at=time.monotonic())


def view(name: str, told: Any) -> WorkerView | None:
    """Read a reply, as far as it makes sense; who does not know our command answers an error."""
    if not isinstance(told, Mapping) or not name:
        return None
    if "error" in told:
        return WorkerView(name=name[:LONGEST], foreign=True)
    known = {key: sanitize_reply(told[key], most=MOST) for key in KINDS if key in told}
    wrong = [key for key, value in known.items() if not _fits(key, value)]
    if not known or wrong:
        return None
    for counted in ("running", "reserved", "scheduled"):  # a worker of an older version
        known.setdefault(f"{counted}_count", len(known.get(counted, [])))
    return WorkerView(name=name[:LONGEST], **known)


def _fits(key: str, value: Any) -> bool:
    """Whether a part of a reply is of the kind that the page shows."""
    if key in {"running", "reserved", "scheduled"} and isinstance(value, list):
        return all(isinstance(one, Mapping) and "id" in one for one in value)
    if key in {"queues", "paused_queues"} and isinstance(value, list):
        return all(isinstance(one, str) for one in value)
    if key == "held" and isinstance(value, Mapping):
        return all(isinstance(one, int) for one in value.values())
    return isinstance(value, KINDS[key])
