"""A task is marked as lost on evidence only; when it is retried, it never runs twice."""

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
from tests.support.stack import WAIT_TIMEOUT, until

pytestmark = pytest.mark.django_db


def make_old(status="PENDING", seconds=86_400, **fields):
    row = make_result(status, **fields)
    then = timezone.now() - timedelta(seconds=seconds)
    Result.objects.filter(pk=row.pk).update(date_created=then)
    return row


@pytest.fixture
def no_worker_holds_it(broker, monkeypatch):
    """Workers reply, and none of them holds any task."""
    monkeypatch.setattr(control, "held_task_ids", lambda ids: set())
    return broker


def status_of(row):
    return Result.objects.get(pk=row.pk).status


@pytest.mark.parametrize("status", IN_PROGRESS)
def test_a_task_in_no_queue_and_no_worker_is_lost(no_worker_holds_it, status):
    row = make_old(status)

    assert lost.Scanner().scan_next() == 1
    assert status_of(row) == "LOST"


@pytest.mark.parametrize("status", ["SUCCESS", "FAILURE", "REVOKED", "RETRY", "LOST"])
def test_a_finished_or_retried_task_is_not_lost(no_worker_holds_it, status):
    row = make_old(status)

    assert lost.Scanner().scan_next() == 0
    assert status_of(row) == status


def test_a_recent_task_is_not_lost(no_worker_holds_it):
    make_old(seconds=10)

    assert lost.Scanner().scan_next() == 0


def test_no_evidence_while_the_queue_holds_a_message(no_worker_holds_it):
    make_old(queue="mail")
    other = make_old(queue="celery")
    broker_api.publish([broker_api.build_message(task_id="x", task="host.x", queue="mail")])

    assert lost.Scanner().scan_next() == 1
    assert status_of(other) == "LOST"


@pytest.mark.parametrize("held", [None, {"mine"}])
def test_no_evidence_while_a_worker_holds_it_or_none_replies(broker, monkeypatch, held):
    row = make_old(task_id="mine")
    monkeypatch.setattr(control, "held_task_ids", lambda ids: held)

    assert lost.Scanner().scan_next() == 0
    assert status_of(row) == "PENDING"


def test_no_evidence_without_a_broker(no_broker):
    make_old()

    with pytest.raises(BrokerUnreachable):
        lost.Scanner().scan_next()


def test_a_target_is_left_to_the_dispatcher(no_worker_holds_it):
    target = make_target("queued", due=60)
    make_old(task_id=target.task_id)

    assert lost.Scanner().scan_next() == 0


def test_a_task_without_a_recorded_queue_is_not_lost(no_worker_holds_it):
    make_old(queue="")

    assert lost.Scanner().scan_next() == 0


def test_all_batches_are_scanned(no_worker_holds_it, monkeypatch):
    monkeypatch.setattr(lost, "BATCH_SIZE", 4)
    monkeypatch.setattr(control, "held_task_ids", lambda ids: {"r0", "r1", "r2", "r3", "r4"})
    for number in range(10):
        make_old("STARTED" if number % 2 else "PENDING", task_id=f"r{number}")
    scanner = lost.Scanner()

    assert [scanner.scan_next() for _ in range(3)] == [0, 3, 2]
    assert scanner.after == 0


def test_after_a_retry_the_old_message_is_revoked(broker, alice):
    row = make_old("LOST")
    results.retry_failed(
        results=Result.objects.all(), confirmation=Confirmation(actor=alice, reason="r")
    )
    assert not revocations.is_revoked(row.task_id)

    dispatcher.sweep()

    (message,) = queued_messages(broker)
    assert message.args == [1]
    assert revocations.is_revoked(row.task_id)
    assert not revocations.is_revoked(message.id)
    assert Operation.objects.get().total == 1


SCAN = """
from tasks_admin.results import lost
lost.Scanner().scan_next()
print(json.dumps(list(Result.objects.order_by("pk").values_list("status", flat=True))))
"""


@pytest.mark.stack
def test_a_broker_that_lost_all_messages(make_host_project, valkey):
    host = make_host_project(TASKS_ADMIN_LOST_AFTER="0")
    host.shell.run("for number in range(3): project.log_run.delay(number)")
    redis.Redis.from_url(valkey).flushall()
    assert host.shell.run_json(SCAN) == ["PENDING"] * 3  # no worker replies: no evidence

    worker = host.start_worker()
    until(lambda: host.shell.run_json(SCAN) == ["LOST"] * 3, "a reply that it holds none of them")
    worker.terminate()
    worker.wait(WAIT_TIMEOUT)
    assert host.runs() == []
