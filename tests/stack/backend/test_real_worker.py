"""Celery's features with our rows, in a real prefork worker of a host project."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.host_project import HostProjects
from tests.support.shared import postgres_database
from tests.support.stack import WAIT_TIMEOUT

#: Seconds that the first run of `host.retry_once` takes; the last run takes no time.
RETRIED_RUN_TIME = 1.0
pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def outcomes(
    request: pytest.FixtureRequest, host_projects: HostProjects, shared_dir: Path
) -> dict[str, Any]:
    """The outcome of one task of each kind."""
    database = postgres_database(shared_dir) if request.param == "postgresql" else ""
    host = host_projects.make(database=database)
    worker = host.start_worker()
    outcomes: dict[str, Any] = host.shell.evaluate("project.run_examples()")
    worker.terminate()
    worker.wait(WAIT_TIMEOUT)
    return outcomes


def test_groups_chords_and_chains(outcomes):
    assert outcomes["group"] == [0, 1, 2]
    assert outcomes["chord"] == 10
    assert outcomes["empty"] == 0
    assert outcomes["chain"] == 7
    assert outcomes["children"] == ["host.retry_once"]
    assert outcomes["counters"] == 0


def test_failure_in_a_chord_and_in_a_chain(outcomes):
    assert outcomes["failing chord"] in {"ChordError", "ValueError"}  # its own, or its part's
    assert outcomes["failing chain"] == "ValueError"


def test_run_time_of_a_retried_task_is_that_of_its_last_run(outcomes):
    status, seconds, meta = outcomes["rows"]["retried"]
    assert (outcomes["retried"], status) == (4, "SUCCESS")
    assert seconds < RETRIED_RUN_TIME
    assert meta["retried-0"][1] == ""  # the task named no exception


def test_start_is_known_without_task_track_started(outcomes):
    status, seconds, _meta = outcomes["rows"]["reported"]
    assert status == "SUCCESS"
    assert 0.3 <= seconds < 30


def test_meta_of_the_project_is_kept_beside_the_queue(outcomes):
    assert outcomes["rows"]["reported"][2] == {"queue": "celery", "note": 5, "children": []}


def test_revoked_rejected_and_ignored(outcomes):
    assert outcomes["revoked"] == "TaskRevokedError"
    assert outcomes["rows"]["revoked"][0] == "REVOKED"
    assert outcomes["rows"]["rejected"][0] == "FAILURE"  # as Celery 5.7 has it: it never runs again
    assert outcomes["rows"]["ignored"][0] == "PENDING"
    assert "discarded" not in outcomes["rows"]


def test_process_that_died(outcomes):
    assert outcomes["dead"] == "WorkerLostError"
    assert outcomes["rows"]["dead"][0] == "FAILURE"


def test_worker_continues(outcomes):
    assert outcomes["last"] == 1
