"""Celery's features with our rows, in a real prefork worker of a host project."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.support.host_project import run_python, start_worker
from tests.support.servers import Postgres
from tests.support.stack import ROOT

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

#: Seconds that the first run of `host.again` takes; the last run takes no time.
RETRIED_RUN_TIME = 1.0
STORY = """
import django, json; django.setup()
from tests.host import celery_app as project
print(json.dumps(project.story()))
"""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def outcomes(
    request: Any, tmp_path_factory: pytest.TempPathFactory, valkey: str
) -> Iterator[dict[str, Any]]:
    """The outcome of one task of each kind."""
    directory = tmp_path_factory.mktemp("story")
    url = f"sqlite:///{directory / 'story.sqlite3'}"
    cluster = Postgres(directory) if request.param == "postgresql" else None
    environment = os.environ | {
        "DATABASE_URL": cluster.url if cluster else url,
        "CELERY_BROKER_URL": valkey,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
    }
    redis.Redis.from_url(valkey).flushall()
    command = [sys.executable, "manage.py", "migrate", "-v0"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    worker = start_worker(environment)
    try:
        yield json.loads(run_python(STORY, environment).splitlines()[-1])
    finally:
        worker.terminate()
        worker.wait(60)
        if cluster:
            cluster.stop()


def test_groups_chords_and_chains(outcomes):
    assert outcomes["group"] == [0, 1, 2]
    assert outcomes["chord"] == 10
    assert outcomes["empty"] == 0
    assert outcomes["chain"] == 7
    assert outcomes["children"] == ["host.again"]
    assert outcomes["counters"] == 0


def test_failure_in_a_chord_and_in_a_chain(outcomes):
    assert outcomes["failing chord"] in {"ChordError", "ValueError"}  # its own, or its part's
    assert outcomes["failing chain"] == "ValueError"


def test_run_time_of_a_retried_task_is_that_of_its_last_run(outcomes):
    status, seconds, meta = outcomes["rows"]["again"]
    assert (outcomes["again"], status) == (4, "SUCCESS")
    assert seconds < RETRIED_RUN_TIME
    assert meta["retried-0"][1] == ""  # the task named no exception


def test_start_is_known_without_task_track_started(outcomes):
    status, seconds, _meta = outcomes["rows"]["tell"]
    assert status == "SUCCESS"
    assert 0.3 <= seconds < 30


def test_meta_of_the_project_is_kept_beside_the_queue(outcomes):
    assert outcomes["rows"]["tell"][2] == {"queue": "celery", "note": 5, "children": []}


def test_revoked_rejected_and_ignored(outcomes):
    assert outcomes["revoked"] == "TaskRevokedError"
    assert outcomes["rows"]["revoked"][0] == "REVOKED"
    assert outcomes["rows"]["rejected"][0] == "FAILURE"  # as Celery 5.7 has it: it never runs again
    assert outcomes["rows"]["ignored"][0] == "PENDING"
    assert "silent" not in outcomes["rows"]


def test_process_that_died(outcomes):
    assert outcomes["dead"] == "WorkerLostError"
    assert outcomes["rows"]["dead"][0] == "FAILURE"


def test_worker_continues(outcomes):
    assert outcomes["last"] == 1
