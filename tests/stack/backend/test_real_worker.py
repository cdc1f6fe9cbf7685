"""Celery's own features on our rows, in a real prefork worker of a host project."""

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

STORY = """
import django, json; django.setup()
from tests.host import celery_app as project
print(json.dumps(project.story()))
"""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def told(
    request: Any, tmp_path_factory: pytest.TempPathFactory, valkey: str
) -> Iterator[dict[str, Any]]:
    """What became of one task of each kind."""
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


def test_groups_chords_and_chains(told):
    assert told["group"] == [0, 1, 2]
    assert told["chord"] == 10
    assert told["empty"] == 0
    assert told["chain"] == 7
    assert told["children"] == ["host.again"]
    assert told["counters"] == 0


def test_what_fails_fails_what_waits_for_it(told):
    assert told["failing chord"] in {"ChordError", "ValueError"}  # its own, or its part's
    assert told["failing chain"] == "ValueError"


def test_celerys_retry_is_timed_by_its_last_run(told):
    status, seconds, notes = told["rows"]["again"]
    assert (told["again"], status) == (4, "SUCCESS")
    assert seconds < 0.2
    assert notes["retried-0"][1] == ""  # it named none


def test_the_start_is_known_though_nobody_stored_it(told):
    status, seconds, _notes = told["rows"]["tell"]
    assert status == "SUCCESS"
    assert 0.3 <= seconds < 30


def test_notes_of_the_project_stand_beside_the_queue(told):
    assert told["rows"]["tell"][2] == {"queue": "celery", "note": 5, "children": []}


def test_revoked_rejected_ignored(told):
    assert told["revoked"] == "TaskRevokedError"
    assert told["rows"]["revoked"][0] == "REVOKED"
    assert told["rows"]["rejected"][0] == "FAILURE"  # as Celery 5.7 has it: it never runs again
    assert told["rows"]["ignored"][0] == "PENDING"
    assert "silent" not in told["rows"]


def test_a_process_that_died(told):
    assert told["dead"] == "WorkerLostError"
    assert told["rows"]["dead"][0] == "FAILURE"


def test_the_worker_lives_on(told):
    assert told["last"] == 1
