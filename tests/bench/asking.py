"""Milliseconds for the state of all workers: the page's snapshot, `inspect()`, and Flower.

Three real workers; then one of them is stopped by SIGSTOP.
"""

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from celery import current_app

from tests.bench.publishing import rabbitmq, valkey
from tests.support.flower import Flower
from tests.support.host_project import run_python, start_worker
from tests.support.stack import ROOT, until

ROUNDS, MESSAGES = 7, 500
POOLS = {"one@here": "prefork", "two@here": "threads", "three@here": "solo"}
MEASURE = "from tests.bench import asking; print(asking.measured())"
COUNT_WORKERS = "from tests.bench import asking; print(asking.online_workers())"


def run() -> list[dict[str, Any]]:
    """Measure on both brokers."""
    return [row for name, server in (("Valkey", valkey), ("RabbitMQ", rabbitmq))
            for row in _on(name, server)]  # fmt: skip


def _on(name: str, server: Callable[[], Any]) -> list[dict[str, Any]]:
    with server() as url, _workers(url) as (environment, processes):
        until(lambda: run_python(COUNT_WORKERS, environment).split()[-1] == "3", "three workers")
        flower = Flower(url)
        try:
            flower.knows(*POOLS)
            took, theirs = _measure(environment), _median(flower.workers)
            os.kill(processes[0].pid, signal.SIGSTOP)
            stopped, their_stopped = _measure(environment), _median(flower.workers)
        finally:
            flower.close()
    what = f"3 workers, {name}"
    return [
        _row(f"{what}, beside inspect()", took["inspect"], took["ours"]),
        _row(f"{what}, beside Flower", theirs, took["ours"]),
        _row(f"{what}, one stopped, beside Flower", their_stopped, stopped["ours"]),
        _row(f"{what}, queueing alone and beside 50 viewers", took["alone"], took["crowded"]),
    ]


def _row(what: str, rival: float, ours: float) -> dict[str, Any]:
    return {"what": what, "unit": "ms", "ratio": rival / ours, "rival": rival, "ours": ours}


@contextlib.contextmanager
def _workers(broker: str) -> Iterator[tuple[dict[str, str], list[subprocess.Popen[bytes]]]]:
    """One worker for each pool implementation, with a separate database."""
    directory = Path(tempfile.mkdtemp())
    environment = os.environ | {
        "DATABASE_URL": f"sqlite:///{directory / 'bench.sqlite3'}",
        "CELERY_BROKER_URL": broker,
        "HOST_LOG": str(directory / "log"),
    }
    migrate = [sys.executable, "manage.py", "migrate", "-v0"]
    subprocess.run(migrate, cwd=ROOT, env=environment, check=True)
    started = [
        start_worker(environment, "-n", name, "--pool", pool) for name, pool in POOLS.items()
    ]
    try:
        yield environment, started
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _measure(environment: dict[str, str]) -> dict[str, float]:
    return json.loads(run_python(MEASURE, environment).splitlines()[-1])


def _ready() -> Any:
    import django

    django.setup()
    from tests.host import celery_app as project

    project.app.set_current()
    return project.app


def online_workers() -> int:
    """The number of workers with a row in the database, read in a separate process."""
    _ready()
    from tasks_admin.models import Worker

    return Worker.objects.online().count()


def measured() -> str:
    """Medians in milliseconds, measured in turns, in a separate process."""
    app = _ready()
    from tasks_admin.integrations import control
    from tests.host import celery_app as project

    def ours() -> None:
        control.clear_cache()
        control.snapshot()

    kinds = {"ours": ours, "inspect": lambda: app.control.inspect().active()}
    for act in kinds.values():  # opens the connections
        act()
    took: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(ROUNDS):
        for name, act in kinds.items():
            took[name].append(_milliseconds(act))
    found = {name: statistics.median(times) for name, times in took.items()}

    def queue() -> None:
        project.noop.apply_async((1,))

    found["alone"] = _median(queue, MESSAGES)
    with _crowd(control.snapshot):
        found["crowded"] = _median(queue, MESSAGES)
    return json.dumps(found)


@contextlib.contextmanager
def _crowd(load: Callable[[], Any]) -> Iterator[None]:
    """Fifty viewers load the page meanwhile, each twice a second."""
    over = threading.Event()

    def view(app: Any) -> None:
        app.set_current()
        while not over.wait(0.5):
            load()

    crowd = [threading.Thread(target=view, args=[current_app._get_current_object()])
             for _ in range(50)]  # fmt: skip
    for one in crowd:
        one.start()
    yield
    over.set()
    for one in crowd:
        one.join()


def _median(act: Callable[[], Any], times: int = ROUNDS) -> float:
    return statistics.median(_milliseconds(act) for _ in range(times))


def _milliseconds(act: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    act()
    return (time.perf_counter() - begun) * 1000
