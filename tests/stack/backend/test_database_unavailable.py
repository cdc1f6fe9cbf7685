"""The database is unavailable while a host's plain tasks run: each runs, and is stored."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.host_project import prepare_host, read_runs, run_python, start_worker
from tests.support.servers import Postgres
from tests.support.stack import until

COUNT = int(os.environ.get("CHAOS_TASKS", "200"))
#: Seconds without a database.
OUTAGES = [5, 60] if COUNT >= 2000 else [4]
pytestmark = [pytest.mark.stack, pytest.mark.postgres, pytest.mark.timeout(900)]

PUBLISH = """
import django; django.setup()
from tests.host import celery_app as project
project.app.set_current()
for number in range({count}):
    project.note.delay(number)
"""
OUTCOMES = """
import django, json; django.setup()
from tasks_admin.models import Result
fields = "task_id", "status", "result", "task_args", "date_started"
print(json.dumps([[*map(str, row)] for row in Result.objects.values_list(*fields)]))
"""


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Postgres]:
    cluster = Postgres(tmp_path)
    yield cluster
    cluster.stop()


@pytest.mark.parametrize("seconds", OUTAGES)
@pytest.mark.parametrize("tracked", [False, True], ids=["untracked", "tracked"])
def test_nothing_is_lost(
    tmp_path: Path, postgres: Postgres, valkey: str, tracked: bool, seconds: int
) -> None:
    log = tmp_path / "runs"
    tracking = json.dumps({"task_track_started": tracked})
    environment = prepare_host(valkey, postgres.url, log, HOST_CELERY=tracking)
    run_python(PUBLISH.format(count=COUNT), environment)
    worker = start_worker(environment)
    try:
        until(lambda: len(read_runs(log)) >= COUNT // 10, "some ran")
        postgres.stop()
        time.sleep(seconds)
        postgres.start()
        until(lambda: len(read_runs(log)) >= COUNT, "all ran", 300)
    finally:
        worker.terminate()  # a warm shutdown: running tasks finish, and are stored
        worker.wait(120)

    check(read_runs(log), json.loads(run_python(OUTCOMES, environment).splitlines()[-1]))


def check(runs: list[list[str]], rows: list[list[Any]]) -> None:
    """Each task ran once, and has its own result and start."""
    assert len(runs) == len({task_id for task_id, *_ in runs}) == COUNT
    begun = {task_id: (int(number), float(at)) for task_id, number, at in runs}
    assert {row[0] for row in rows} == set(begun)
    for task_id, status, result, args, started in rows:
        number, at = begun[task_id]
        assert (status, json.loads(result), json.loads(args)) == ("SUCCESS", number * 2, [number])
        assert started != "None", task_id
        assert at
