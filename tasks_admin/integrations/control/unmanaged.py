"""Workers without a heartbeat: unmanaged ones, and managed ones whose heartbeat is missing.

The console remembers them, so that it waits for their replies. Unmanaged ones get Celery's own
commands only: a command that a worker does not know writes a traceback to its log.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from celery import current_app

from tasks_admin.integrations.control.requests import request
from tasks_admin.lib.errors import BrokerUnreachable

#: Seconds between two pings that discover such workers.
DISCOVERY_INTERVAL = 60.0
#: Celery's commands, and the values of a snapshot in the reply to each.
COMMANDS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "stats": lambda reply: _stats(reply),
    "active_queues": lambda reply: {"queues": [_name(queue) for queue in _list(reply)]},
    "active": lambda reply: {"running": [_task(task) for task in _list(reply)]},
    "reserved": lambda reply: {"reserved": [_task(task) for task in _list(reply)]},
    "scheduled": lambda reply: {"scheduled": [_scheduled(entry) for entry in _list(reply)]},
    "revoked": lambda reply: {"revoked": len(_list(reply))},
}


class DiscoveredWorkers:
    """The workers that replied although they have no recent heartbeat. Thread-safe."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.names: set[str] = set()
        #: Those of them that do not know our commands.
        self.unmanaged: set[str] = set()
        self.discovered_at = float("-inf")

    def discover(self) -> None:
        """Ping all workers. The number of replies is not known, so this takes the whole timeout."""
        self.discovered_at = time.monotonic()
        names = {name for name, _pong in request("ping")}
        with self.lock:
            self.names |= names

    def discover_periodically(self) -> None:
        """Do that in a thread, if the last time was long ago: no page waits for it."""
        if time.monotonic() - self.discovered_at > DISCOVERY_INTERVAL:
            self.discovered_at = time.monotonic()
            app: Any = current_app
            args = [app._get_current_object()]
            threading.Thread(target=self._discover, args=args, daemon=True).start()

    def update(
        self, replied: Collection[str], *, missed: Collection[str], unmanaged: Collection[str] = ()
    ) -> None:
        """Remember the workers that replied, and forget those that did not."""
        with self.lock:
            self.names = (self.names | set(replied)) - set(missed)
            self.unmanaged = (self.unmanaged | set(unmanaged)) & self.names

    def _discover(self, app: Any) -> None:
        app.set_current()
        with contextlib.suppress(BrokerUnreachable):  # the page's own request reports it
            self.discover()


discovered_workers = DiscoveredWorkers()


def snapshots(names: Collection[str]) -> dict[str, dict[str, Any]]:
    """The values of a snapshot by worker, as far as Celery's own commands provide them.

    One request after the other. A worker that does not reply to one gets no more.
    """
    found: dict[str, dict[str, Any]] = {name: {} for name in names}
    remaining = set(names)
    for command, read in COMMANDS.items():
        if not remaining:
            break
        replies = dict(request(command, destination=sorted(remaining), expected=remaining))
        remaining &= replies.keys()
        for name in remaining:
            found[name] |= read(replies[name])
    return found


def _stats(reply: Any) -> dict[str, Any]:
    stats = reply if isinstance(reply, Mapping) else {}
    pool = stats.get("pool")
    pool = pool if isinstance(pool, Mapping) else {}
    totals = stats.get("total")
    pids = [pid for pid in _list(pool.get("processes")) if isinstance(pid, int)]
    concurrency = pool.get("max-concurrency")
    return {
        "pool": str(pool.get("implementation", "")).partition(":")[0].rpartition(".")[2],
        "processes": len(pids) or (concurrency if isinstance(concurrency, int) else 0),
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


def _scheduled(entry: Any) -> dict[str, Any]:
    entry = entry if isinstance(entry, Mapping) else {}
    return _task(entry.get("request")) | {"eta": str(entry.get("eta") or "")[:40] or None}


def _name(queue: Any) -> str:
    return str(queue.get("name", ""))[:255] if isinstance(queue, Mapping) else ""


def _list(reply: Any) -> list[Any]:
    return list(reply) if isinstance(reply, (list, tuple)) else []
