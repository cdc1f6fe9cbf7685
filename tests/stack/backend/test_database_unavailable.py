"""The database stops while tasks of a host project run: each runs, and each result is stored."""

import json
import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.host_project import HostProject
from tests.support.servers import Postgres
from tests.support.stack import WAIT_TIMEOUT, until

COUNT = int(os.environ.get("CHAOS_TASKS", "200"))
#: Seconds without a database.
OUTAGES = [5, 60] if COUNT >= 2000 else [4]
pytestmark = [pytest.mark.stack, pytest.mark.postgres, pytest.mark.timeout(900)]

STATUSES = """
fields = "task_id", "status", "result", "task_args", "date_started"
print(json.dumps([[*map(str, row)] for row in Result.objects.values_list(*fields)]))
"""


@pytest.mark.parametrize("seconds", OUTAGES)
@pytest.mark.parametrize("tracked", [False, True], ids=["untracked", "tracked"])
def test_no_result_is_lost(
    own_postgres: Postgres,
    make_host_project: Callable[..., HostProject],
    tracked: bool,
    seconds: int,
) -> None:
    tracking = json.dumps({"task_track_started": tracked})
    host = make_host_project(database=own_postgres.url, HOST_CELERY=tracking)
    host.shell.run(f"for number in range({COUNT}): project.log_run.delay(number)")
    worker = host.start_worker()
    until(lambda: len(host.runs()) >= COUNT // 10, "the first runs")
    own_postgres.stop()
    time.sleep(seconds)
    own_postgres.start()
    until(lambda: len(host.runs()) >= COUNT, "the run of each task", 300)
    worker.terminate()  # a warm shutdown: the worker finishes and stores what it has started
    worker.wait(WAIT_TIMEOUT)

    check(host.runs(), host.shell.run_json(STATUSES))


def check(runs: list[list[str]], rows: list[list[Any]]) -> None:
    """Check that each task ran once, and has its own result and time of start."""
    assert len(runs) == len({task_id for task_id, *_ in runs}) == COUNT
    begun = {task_id: (int(number), float(at)) for task_id, number, at in runs}
    assert {row[0] for row in rows} == set(begun)
    for task_id, status, result, args, started in rows:
        number, at = begun[task_id]
        assert (status, json.loads(result), json.loads(args)) == ("SUCCESS", number * 2, [number])
        assert started != "None", task_id
        assert at
