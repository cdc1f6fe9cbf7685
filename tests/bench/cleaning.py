"""The longest wait of a write while expired results are deleted, beside the stock backend.

`BENCH_EXPIRED` is the number of expired rows (100,000; the goal is stated for 1,000,000).
"""

import contextlib
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

ROWS = int(os.environ.get("BENCH_EXPIRED", "100_000"))
WRITERS = 2
#: Older than the rows of the writers, younger than the expired ones.
AGE = timedelta(days=30)
#: Seconds in which writers write and no cleanup runs.
QUIET = 5.0


def run() -> list[dict[str, Any]]:
    """Measure on SQLite and, where it is installed, on PostgreSQL."""
    found = _measured("SQLite", {})
    if list(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")):
        from tests.support.servers import Postgres

        server = Postgres(fsync="on")
        try:
            found += _measured("PostgreSQL", {"DATABASE_URL": server.url})
        finally:
            server.stop()
    return found


def _measured(name: str, environment: dict[str, str]) -> list[dict[str, Any]]:
    environment = os.environ | {"DATA_DIR": tempfile.mkdtemp()} | environment
    command = [sys.executable, "-m", "tests.bench.cleaning"]
    found = json.loads(subprocess.check_output(command, env=environment, timeout=3600))
    what = f"longest wait of a write while {ROWS:,} expired results are deleted, {name}"
    beside = {"stock": "django-celery-results", "idle": "no cleanup"}
    return [
        {"what": f"{what}, beside {words}", "unit": "ms", "rival": found[rival],
         "ours": found["ours"], "ratio": found[rival] / found["ours"]}
        for rival, words in beside.items()
    ]  # fmt: skip


def measure() -> dict[str, float]:
    """Measure the writers while expired results are deleted, by the stock backend and by ours."""
    from django.core.management import call_command
    from django_celery_results.models import TaskResult

    from tasks_admin.dispatcher import housekeeping
    from tasks_admin.results import expiry

    call_command("migrate", verbosity=0)
    found = {"idle": _longest(lambda: time.sleep(QUIET))}
    for kind, clean in (
        ("ours", lambda: (expiry.delete_expired(AGE), housekeeping.delete_orphaned_failures())),
        ("stock", lambda: TaskResult.objects.delete_expired(AGE)),
    ):
        _fill()
        found[kind] = _longest(clean)
    return found


def _longest(act: Any) -> float:
    """The longest time in milliseconds that a writer took to store one result meanwhile."""
    context = multiprocessing.get_context("spawn")
    stop, waits, ready = context.Event(), context.Queue(), context.Barrier(WRITERS + 1)
    writers = [
        context.Process(target=_write, args=(stop, waits, ready)) for _number in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    ready.wait()
    act()
    stop.set()
    longest = max(waits.get() for _writer in writers)
    for writer in writers:
        writer.join()
    return float(longest) * 1000


def _write(stop: Any, waits: Any, ready: Any) -> None:
    """Store results as a worker does, one after the other."""
    import django

    django.setup()
    from celery.app.task import Context

    from opsconsole.celery import app

    longest, number = 0.0, 0
    store(app, Context, 0)
    ready.wait()
    while not stop.is_set():
        number += 1
        begun = time.perf_counter()
        with contextlib.suppress(Exception):  # locked for longer than it waits: that counts
            store(app, Context, number)
        longest = max(longest, time.perf_counter() - begun)
    waits.put(longest)


def store(app: Any, context: Any, number: int) -> None:
    """Store one result."""
    task_id = f"{os.getpid()}-{time.time_ns()}-{number}"
    request = context(id=task_id, args=[number], kwargs={}, task="bench.write")
    app.backend.mark_as_done(task_id, number, request=request)


def _fill() -> None:
    """Insert rows that expired long ago; every tenth is a failure with its row in the group."""
    from django.db import connection

    from tests.bench import results

    results.ROWS = ROWS
    results.fill()
    ago = {
        "postgresql": "now() - interval '60 days'",
        "sqlite": "datetime('now', '-60 days')",
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {results.TABLE} SET date_done = {ago} WHERE task_id LIKE 'bench-%%'"
        )
        cursor.execute("DELETE FROM tasks_admin_failure")
        cursor.execute(
            "INSERT INTO tasks_admin_failure (task_id, group_id, failed_at) "
            f"SELECT task_id, 1, {ago} FROM {results.TABLE} WHERE status = 'FAILURE'"
        )
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")


if __name__ == "__main__":
    os.environ.setdefault("SECRET_KEY", "only for measuring " * 4)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django

    django.setup()
    print(json.dumps(measure()))
