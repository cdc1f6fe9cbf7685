"""Milliseconds for the state of all workers: the page's snapshot, `inspect()`, and Flower.

Three real workers; then one of them is stopped by SIGSTOP. Flower is asked where it is installed
(`BENCH_FLOWER` names a Python that has it); its eight questions in a row stand in for it elsewhere.
"""

import contextlib
import importlib.util
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.bench.publishing import rabbitmq, valkey
from tests.hosting import run as run_code
from tests.hosting import work
from tests.ports import free_port
from tests.stack import ROOT, until

ROUNDS = 7
POOLS = {"one@here": "prefork", "two@here": "threads", "three@here": "solo"}
#: What Flower asks each time, one after the other.
EIGHT = (
    "stats", "active_queues", "registered", "scheduled", "active", "reserved", "revoked", "conf",
)  # fmt: skip
HERE = "from tests.bench import asking; print(asking.measured())"
THERE = "from tests.bench import asking; print(asking.there())"


def run() -> list[dict[str, Any]]:
    """Measure on both brokers."""
    return [row for name, server in (("Valkey", valkey), ("RabbitMQ", rabbitmq))
            for row in _on(name, server)]  # fmt: skip


def _on(name: str, server: Callable[[], Any]) -> list[dict[str, Any]]:
    with server() as url, _workers(url) as (environment, processes):
        until(lambda: run_code(THERE, environment).split()[-1] == "3", "three workers")
        took = _told(environment)
        if flower := _flower(url, environment):
            took["flower"] = flower
        os.kill(processes[0].pid, signal.SIGSTOP)
        stopped = _told(environment)
    beside = "Flower" if "flower" in took else "eight inspect() calls, as Flower asks"
    eight = took.get("flower") or took["eight"]
    return [
        _row(f"3 workers, {name}, beside inspect()", took["inspect"], took["ours"]),
        _row(f"3 workers, {name}, beside {beside}", eight, took["ours"]),
        _row(f"3 workers, {name}, one stopped, beside eight calls", stopped["eight"],
             stopped["ours"]),
    ]  # fmt: skip


def _row(what: str, rival: float, ours: float) -> dict[str, Any]:
    return {"what": what, "unit": "ms", "ratio": rival / ours, "rival": rival, "ours": ours}


@contextlib.contextmanager
def _workers(broker: str) -> Iterator[tuple[dict[str, str], list[subprocess.Popen[bytes]]]]:
    """One worker of each pool, with a database of their own."""
    directory = Path(tempfile.mkdtemp())
    environment = os.environ | {
        "DATABASE_URL": f"sqlite:///{directory / 'bench.sqlite3'}",
        "CELERY_BROKER_URL": broker,
        "HOST_LOG": str(directory / "log"),
    }
    migrate = [sys.executable, "manage.py", "migrate", "-v0"]
    subprocess.run(migrate, cwd=ROOT, env=environment, check=True)
    started = [work(environment, "-n", name, "--pool", pool) for name, pool in POOLS.items()]
    try:
        yield environment, started
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _told(environment: dict[str, str]) -> dict[str, float]:
    return json.loads(run_code(HERE, environment).splitlines()[-1])


def _ready() -> Any:
    import django

    django.setup()
    from tests import plainhost

    plainhost.app.set_current()
    return plainhost.app


def there() -> int:
    """How many workers wrote their row, asked in a process of its own."""
    _ready()
    from tasks_admin.models import Worker

    return Worker.objects.believed().count()


def measured() -> str:
    """Medians in milliseconds, taken in turns; in a process of its own."""
    app = _ready()
    from tasks_admin import control

    def ours() -> None:
        control.forget()
        control.snapshot()

    def eight() -> None:
        for name in EIGHT:
            getattr(app.control.inspect(), name)()

    kinds = {"ours": ours, "inspect": lambda: app.control.inspect().active(), "eight": eight}
    for act in (ours, kinds["inspect"]):  # connections are made
        act()
    took: dict[str, list[float]] = {name: [] for name in kinds}
    for number in range(ROUNDS):
        for name, act in kinds.items():
            if name != "eight" or number < 2:
                took[name].append(_clocked(act))
    return json.dumps({name: statistics.median(times) for name, times in took.items()})


def _clocked(act: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    act()
    return (time.perf_counter() - begun) * 1000


def _flower(broker: str, environment: dict[str, str]) -> float | None:
    """The median of Flower's answer with all workers refreshed; None where it is not installed."""
    python = os.environ.get("BENCH_FLOWER", "")
    if not python and importlib.util.find_spec("flower") is None:
        return None
    port = free_port()
    command = [python or sys.executable, "-m", "celery", "--broker", broker, "flower"]
    command += [f"--port={port}", "--address=127.0.0.1", "--logging=error"]
    address = f"http://127.0.0.1:{port}/api/workers?refresh=1"
    with tempfile.TemporaryDirectory() as directory:
        alone = environment | {"FLOWER_UNAUTHENTICATED_API": "1"}
        alone.pop("DJANGO_SETTINGS_MODULE", None)  # it is no part of the project
        process = subprocess.Popen(command, cwd=directory, env=alone)
        try:
            until(
                lambda: len(_fetched(address) or {}) == len(POOLS), "Flower knows three workers", 30
            )
            return statistics.median(_clocked(lambda: _fetched(address)) for _ in range(ROUNDS))
        finally:
            process.kill()
            process.wait()


def _fetched(address: str) -> Any:
    with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=20) as answer:
        return json.load(answer)
    return None
