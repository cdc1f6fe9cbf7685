"""Tasks a second with results stored: ours, the stock backend, and a worker that stores none."""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from tests.bench.publishing import valkey
from tests.support.servers import Postgres

COUNT = int(os.environ.get("BENCH_TASKS", "1500"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
TIMEOUT = 240.0
#: Settings of Celery that differ from the console's.
KINDS: dict[str, dict[str, Any]] = {
    "none": {"plain": True, "result_backend": None},
    "stock": {"plain": True, "result_backend": "django-db", "CELERY_DB_REUSE_MAX": None},
    "ours": {},
    "relaxed": {},
}
KINDS["stock"] |= {"result_backend_always_retry": False, "task_track_started": False}


def run() -> list[dict[str, Any]]:
    """Measure on both databases."""
    rows = []
    for name, database in (("SQLite", sqlite), ("PostgreSQL", postgres)):
        with database() as url, valkey() as broker:
            rates = measure(url, broker)
        for kind, rival, beside in (
            ("ours", "stock", "django-celery-results"),
            ("ours", "none", "no results stored"),
            ("relaxed", "none", "no results stored, without waiting for the disk"),
        ):
            if kind == "relaxed" and name == "SQLite":  # the same: it never waits
                continue
            what = f"{COUNT:,} tasks, results stored, {name}, beside {beside}"
            row = {"what": what, "unit": "tasks/s", "ratio": rates[kind] / rates[rival]}
            rows.append(row | {"rival": rates[rival], "ours": rates[kind]})
    return rows


@contextlib.contextmanager
def sqlite() -> Iterator[str]:
    """A file, as `make run` has it."""
    yield f"sqlite:///{tempfile.mkdtemp()}/bench.sqlite3"


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """A cluster that waits for the disk, as in production."""
    cluster = Postgres(fsync="on")
    try:
        yield cluster.url
    finally:
        cluster.stop()


def measure(database: str, broker: str) -> dict[str, float]:
    """The median rate of each kind; rounds are taken in turns."""
    environment = os.environ | {"DATABASE_URL": database, "CELERY_BROKER_URL": broker}
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], env=environment, check=True)
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(ROUNDS):
        for kind, settings in KINDS.items():
            more = {"HOST_CELERY": json.dumps(settings)}
            more |= {"TASKS_ADMIN_RESULTS_DURABLE": "0"} if kind == "relaxed" else {}
            rate = _drain(broker, environment | more, kind)
            rates[kind].append(rate)
    return {kind: statistics.median(found) for kind, found in rates.items()}


def _drain(broker: str, environment: dict[str, str], kind: str) -> float:
    """Publish, start a worker, and time it while the queue empties; its start is not timed."""
    import redis

    publish = [sys.executable, "-m", "tests.bench.storing", kind]
    subprocess.run(publish, env=environment, check=True)
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "tests.host.celery_app",
        "worker",
        "--concurrency=2",
    ]
    command += ["--loglevel=warning", "--without-gossip", "--without-mingle"]
    worker = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    client = redis.Redis.from_url(broker)
    try:
        begun, first = _below(client, COUNT * 95 // 100)
        ended, last = _below(client, 0)
        return (first - last) / (ended - begun)
    finally:
        worker.terminate()
        worker.wait(60)
        client.close()


def _below(client: Any, count: int) -> tuple[float, int]:
    """Wait until no more than `count` messages wait; return when that was, and how many."""
    deadline = time.monotonic() + TIMEOUT
    while (left := client.llen("celery")) > count:
        assert time.monotonic() < deadline, f"{left} tasks are left"
        time.sleep(0.01)
    return time.monotonic(), left


def publish(kind: str) -> None:
    """Queue the tasks; ours have their rows from now on."""
    from tests.host import celery_app as project

    if KINDS[kind].get("plain"):
        project.disable_pending_results()
    for number in range(COUNT):
        project.noop.delay(number)


if __name__ == "__main__":
    import django

    django.setup()
    from tests.host.celery_app import app

    app.set_current()
    publish(sys.argv[1])
