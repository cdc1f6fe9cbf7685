"""Workers that give no sign of life: of other apps, or without the console.

They are remembered, so that they are waited for, and are asked with Celery's own commands: a
command that a worker does not know puts a traceback into its log.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from celery import current_app

from tasks_admin.integrations.control.requests import ask
from tasks_admin.lib.errors import BrokerUnreachable

#: Seconds between two looks for such workers.
EVERY = 60.0
#: Celery's commands, and what each of them tells us.
COMMANDS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "stats": lambda told: _stats(told),
    "active_queues": lambda told: {"queues": [_name(queue) for queue in _listed(told)]},
    "active": lambda told: {"running": [_task(task) for task in _listed(told)]},
    "reserved": lambda told: {"reserved": [_task(task) for task in _listed(told)]},
    "scheduled": lambda told: {"scheduled": [_timed(entry) for entry in _listed(told)]},
    "revoked": lambda told: {"revoked": len(_listed(told))},
}


class UnmanagedWorkers:
    """The workers that answer and are not among those that are believed to be there."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.names: set[str] = set()
        #: Those of them that do not know our commands.
        self.strangers: set[str] = set()
        self.looked = float("-inf")

    def look(self) -> None:
        """See who is there. Nobody can tell how many will answer: it takes the whole time."""
        self.looked = time.monotonic()
        there = {name for name, _pong in ask("ping")}
        with self.lock:
            self.names |= there

    def look_now_and_then(self) -> None:
        """Do that once a minute, beside whoever asks: nobody waits for it."""
        if time.monotonic() - self.looked > EVERY:
            self.looked = time.monotonic()
            app: Any = current_app
            args = [app._get_current_object()]
            threading.Thread(target=self._look, args=args, daemon=True).start()

    def heard(
        self, answered: Collection[str], *, missed: Collection[str], strangers: Collection[str] = ()
    ) -> None:
        """Remember who answered, and who of them is a stranger; the others are forgotten."""
        with self.lock:
            self.names = (self.names | set(answered)) - set(missed)
            self.strangers = (self.strangers | set(strangers)) & self.names

    def _look(self, app: Any) -> None:
        app.set_current()
        with contextlib.suppress(BrokerUnreachable):  # whoever asks finds that out too
            self.look()


unmanaged_workers = UnmanagedWorkers()


def told(names: Collection[str]) -> dict[str, dict[str, Any]]:
    """What these workers tell, by name, as our own would tell it.

    One question after the other, each to its last answer; who leaves one open is not asked on.
    """
    found: dict[str, dict[str, Any]] = {name: {} for name in names}
    asked = set(names)
    for command, read in COMMANDS.items():
        if not asked:
            break
        replies = dict(ask(command, destination=sorted(asked), expected=asked))
        asked &= replies.keys()
        for name in asked:
            found[name] |= read(replies[name])
    return found


def _stats(told: Any) -> dict[str, Any]:
    stats = told if isinstance(told, Mapping) else {}
    pool = stats.get("pool")
    pool = pool if isinstance(pool, Mapping) else {}
    totals = stats.get("total")
    pids = [pid for pid in _listed(pool.get("processes")) if isinstance(pid, int)]
    most = pool.get("max-concurrency")
    return {
        "pool": str(pool.get("implementation", "")).partition(":")[0].rpartition(".")[2],
        "processes": len(pids) or (most if isinstance(most, int) else 0),
        "pids": pids,
        "pid": stats.get("pid"),
        "uptime": stats.get("uptime"),
        "totals": totals,
        "total": sum(n for n in totals.values() if isinstance(n, int))
        if isinstance(totals, Mapping)
        else 0,
        "prefetch": stats.get("prefetch_count"),
    }


def _task(task: Any) -> dict[str, Any]:
    task = task if isinstance(task, Mapping) else {}
    return {
        "id": str(task.get("id", ""))[:255],
        "name": str(task.get("name", ""))[:255],
        "started": task.get("time_start"),
        "pid": task.get("worker_pid"),
        "eta": None,
    }


def _timed(entry: Any) -> dict[str, Any]:
    entry = entry if isinstance(entry, Mapping) else {}
    return _task(entry.get("request")) | {"eta": str(entry.get("eta") or "")[:40] or None}


def _name(queue: Any) -> str:
    return str(queue.get("name", ""))[:255] if isinstance(queue, Mapping) else ""


def _listed(told: Any) -> list[Any]:
    return list(told) if isinstance(told, (list, tuple)) else []
