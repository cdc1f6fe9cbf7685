"""What is nowhere is called lost, on evidence alone; queued again it never runs twice."""

import json
from datetime import timedelta

import pytest
import redis
from django.utils import timezone

from tasks_admin import dispatcher, results
from tasks_admin.integrations import broker as broker_api
from tasks_admin.integrations import control
from tasks_admin.lib.errors import BrokerUnreachable
from tasks_admin.models import Operation, Result
from tasks_admin.models.result_states import IN_PROGRESS
from tasks_admin.operations import Confirmation
from tasks_admin.results import lost, revocations
from tests.support.factories import make_result, make_target, queued_messages
from tests.support.host_project import prepare_host, read_runs, run_python, start_worker
from tests.support.stack import until

pytestmark = pytest.mark.django_db


def make_old(status="PENDING", seconds=86_400, **fields):
    row = make_result(status, **fields)
    then = timezone.now() - timedelta(seconds=seconds)
    Result.objects.filter(pk=row.pk).update(date_created=then)
    return row


@pytest.fixture
def nobody_has_it(broker, monkeypatch):
    """Workers answer, and none of them knows any task."""
    monkeypatch.setattr(control, "held_task_ids", lambda ids: set())
    return broker


def status_of(row):
    return Result.objects.get(pk=row.pk).status


@pytest.mark.parametrize("status", IN_PROGRESS)
def test_what_is_nowhere_is_lost(nobody_has_it, status):
    row = make_old(status)

    assert lost.Search().scan_next() == 1
    assert status_of(row) == "LOST"


@pytest.mark.parametrize("status", ["SUCCESS", "FAILURE", "REVOKED", "RETRY", "LOST"])
def test_what_has_an_end_or_a_time_of_its_own_is_not(nobody_has_it, status):
    row = make_old(status)

    assert lost.Search().scan_next() == 0
    assert status_of(row) == status


def test_what_is_young_is_not(nobody_has_it):
    make_old(seconds=10)

    assert lost.Search().scan_next() == 0


def test_while_its_queue_holds_anything_nobody_knows(nobody_has_it):
    make_old(queue="mail")
    other = make_old(queue="celery")
    broker_api.publish([broker_api.build_message(task_id="x", task="host.x", queue="mail")])

    assert lost.Search().scan_next() == 1
    assert status_of(other) == "LOST"


@pytest.mark.parametrize("known", [None, {"mine"}])
def test_while_a_worker_has_it_or_none_answers_nobody_knows(broker, monkeypatch, known):
    row = make_old(task_id="mine")
    monkeypatch.setattr(control, "held_task_ids", lambda ids: known)

    assert lost.Search().scan_next() == 0
    assert status_of(row) == "PENDING"


def test_without_a_broker_nobody_knows(no_broker):
    make_old()

    with pytest.raises(BrokerUnreachable):
        lost.Search().scan_next()


def test_what_an_operation_queued_is_left_to_the_dispatcher(nobody_has_it):
    target = make_target("queued", due=60)
    make_old(task_id=target.task_id)

    assert lost.Search().scan_next() == 0


def test_what_names_no_queue_is_left_alone(nobody_has_it):
    make_old(queue="")

    assert lost.Search().scan_next() == 0


def test_all_are_looked_at_in_turn(nobody_has_it, monkeypatch):
    monkeypatch.setattr(lost, "CHUNK", 4)
    monkeypatch.setattr(control, "held_task_ids", lambda ids: {"r0", "r1", "r2", "r3", "r4"})
    for number in range(10):
        make_old("STARTED" if number % 2 else "PENDING", task_id=f"r{number}")
    search = lost.Search()

    assert [search.scan_next() for _ in range(3)] == [0, 3, 2]
    assert search.after == 0


def test_queued_again_its_old_message_is_void(broker, alice):
    row = make_old("LOST")
    results.retry_failed(
        results=Result.objects.all(), confirmation=Confirmation(actor=alice, reason="r")
    )
    assert not revocations.revoked(row.task_id)

    dispatcher.sweep()

    (message,) = queued_messages(broker)
    assert message.args == [1]
    assert revocations.revoked(row.task_id)
    assert not revocations.revoked(message.id)
    assert Operation.objects.get().total == 1


LOSE = """
import django; django.setup()
from tests.host import celery_app as project
project.app.set_current()
for number in range(3):
    project.note.delay(number)
"""
SEARCH = """
import django, json; django.setup()
from tests.host import celery_app as project
project.app.set_current()
from tasks_admin.results import lost
from tasks_admin.models import Result
lost.Search().scan_next()
print(json.dumps(list(Result.objects.order_by("pk").values_list("status", flat=True))))
"""


@pytest.mark.stack
def test_a_broker_that_forgot_everything(tmp_path, valkey):
    log = tmp_path / "runs"
    database = f"sqlite:///{tmp_path / 'host.sqlite3'}"
    environment = prepare_host(valkey, database, log, TASKS_ADMIN_LOST_AFTER="0")
    run_python(LOSE, environment)
    redis.Redis.from_url(valkey).flushall()
    said = lambda: json.loads(run_python(SEARCH, environment).splitlines()[-1])  # noqa: E731
    assert said() == ["PENDING"] * 3  # no worker answers: nobody knows

    worker = start_worker(environment)
    try:
        until(lambda: said() == ["LOST"] * 3, "a worker says that it has none of them")
    finally:
        worker.terminate()
        worker.wait(60)
    assert read_runs(log) == []
