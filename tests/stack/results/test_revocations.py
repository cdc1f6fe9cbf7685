"""A revoked task never runs, also after its worker has been restarted."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from tasks_admin import dispatcher, operations
from tasks_admin.integrations import control
from tasks_admin.lib.errors import BrokerUnreachable, NotAllowed
from tasks_admin.models import Operation, Result, Revocation, Target, Worker
from tasks_admin.models.result_states import NOT_STARTED
from tasks_admin.operations import Confirmation
from tasks_admin.results import cancellation, revocations
from tests.support.factories import make_result, make_target, run_concurrently
from tests.support.stack import WAIT_TIMEOUT, until


def revoke(actor, *rows):
    results = Result.objects.filter(pk__in=[row.pk for row in rows])
    return cancellation.revoke(results=results, confirmation=Confirmation(actor=actor, reason="r"))


def states(operation):
    return dict(operation.targets.values_list("subject", "state"))


@pytest.mark.parametrize("status", NOT_STARTED)
def test_a_task_that_has_not_started_is_revoked(broker, alice, status):
    row = make_result(status)

    operation = revoke(alice, row)
    assert not Revocation.objects.exists()  # the dispatcher does it
    dispatcher.sweep()

    assert states(operation) == {row.task_id: "done"}
    assert Result.objects.get().status == "REVOKED"
    assert revocations.is_revoked(row.task_id)


@pytest.mark.parametrize(
    ("status", "reason"), [("STARTED", "started"), ("SUCCESS", "ended"), ("FAILURE", "ended")]
)
def test_started_and_finished_tasks_are_excluded(db, alice, status, reason):
    rows = [make_result(status), make_result("PENDING")]

    operation = revoke(alice, *rows)

    assert operation.excluded == {reason: 1}
    assert operation.total == 1


def test_a_task_that_starts_meanwhile_is_skipped(broker, alice):
    row = make_result("PENDING")
    operation = revoke(alice, row)
    Result.objects.update(status="STARTED")

    dispatcher.sweep()

    (target,) = operation.targets.all()
    assert (target.state, target.reason) == ("skipped", "started")
    assert not Revocation.objects.exists()


def test_without_a_workers_reply_the_outcome_is_unknown(broker, alice):
    """It may have started the task before it was revoked; it is asked again for a while."""
    moment = timezone.now()
    Worker.objects.create(name="w", start_id=uuid.uuid4(), started_at=moment, last_seen_at=moment)
    row = make_result("PENDING")
    operation = revoke(alice, row)

    dispatcher.sweep()
    (target,) = operation.targets.all()
    assert (target.state, target.reason) == ("waiting", "no_reply_maybe_started")

    Operation.objects.update(created_at=moment - timedelta(minutes=1))
    operation.targets.update(due_at=moment - timedelta(seconds=1))
    dispatcher.sweep()

    (target,) = operation.targets.all()
    assert (target.state, target.reason) == ("unknown", "no_reply_maybe_started")
    assert revocations.is_revoked(row.task_id), "it stays revoked"


def test_a_target_of_another_operation_is_cancelled(broker, alice):
    target = make_target("queued", due=60)
    row = make_result("PENDING", task_id=target.task_id)

    revoke(alice, row)
    dispatcher.sweep()

    target.refresh_from_db()
    assert (target.state, target.reason) == ("cancelled", "revoked")
    assert not operations.claim(target.task_id, 20)


def test_a_claimed_target_is_skipped(broker, alice):
    target = make_target("queued", due=60)
    row = make_result("PENDING", task_id=target.task_id)
    revoke(alice, row)
    assert operations.claim(target.task_id, 20)

    dispatcher.sweep()

    target.refresh_from_db()
    assert target.state == "running"
    assert Result.objects.get().status == "PENDING"


@pytest.mark.django_db(transaction=True)
def test_several_dispatchers_revoke_each_task_once(broker, alice):
    rows = [make_result("PENDING") for _ in range(30)]
    operation = revoke(alice, *rows)

    run_concurrently(4, dispatcher.sweep)
    dispatcher.sweep()

    assert set(states(operation).values()) == {"done"}
    assert Revocation.objects.count() == 30


def test_without_a_broker_the_task_is_revoked_and_the_outcome_waits(no_broker, alice):
    row = make_result("PENDING")
    operation = revoke(alice, row)

    with pytest.raises(BrokerUnreachable):
        dispatcher.sweep()

    (target,) = operation.targets.all()
    assert (target.state, target.reason) == ("waiting", "broker")
    assert revocations.is_revoked(row.task_id)


def test_a_task_that_a_worker_runs_is_not_revoked(broker, alice, monkeypatch):
    row, other = make_result("PENDING"), make_result("PENDING")
    operation = revoke(alice, row, other)
    monkeypatch.setattr(control, "running_task_ids", lambda ids: {row.task_id})

    dispatcher.sweep()

    assert states(operation) == {row.task_id: "skipped", other.task_id: "done"}
    assert not revocations.is_revoked(row.task_id)
    assert Result.objects.get(pk=row.pk).status == "STARTED"


def test_a_task_that_ends_meanwhile_is_not_revoked(broker, alice, monkeypatch):
    row = make_result("PENDING")
    operation = revoke(alice, row)
    ends = lambda ids: Result.objects.update(status="SUCCESS") and set()  # noqa: E731
    monkeypatch.setattr(control, "running_task_ids", ends)

    dispatcher.sweep()

    assert states(operation) == {row.task_id: "skipped"}


def test_another_dispatcher_continues_after_a_crash(broker, alice):
    row = make_result("PENDING")
    operation = revoke(alice, row)
    revocations._revoke_batch(operation)

    dispatcher.sweep()

    assert states(operation) == {row.task_id: "done"}


def test_expired_revocations_are_deleted(db):
    now = timezone.now()
    for days in (1, 100):
        at = now - timezone.timedelta(days=days)
        Revocation.objects.create(task_id=str(days), revoked_at=at)

    assert revocations.delete_expired(90) == 1
    assert Revocation.objects.get().task_id == "1"


REVOKE = """
from tasks_admin.results import cancellation
for number in range(10):
    project.log_run.apply_async([number], countdown=3 if number % 2 else None)
some = list(Result.objects.order_by("pk")[:8].values_list("pk", flat=True))
cancellation.revoke(
    results=Result.objects.filter(pk__in=some), confirmation=Confirmation(**audit))
dispatcher.sweep()
"""
STATES = """
rows = Result.objects.order_by("pk")
print(json.dumps([[row.status, project.app.AsyncResult(row.task_id).state] for row in rows]))
"""


@pytest.mark.stack
def test_revocations_survive_the_restart_of_every_worker(host_project):
    host_project.shell.run(REVOKE)

    for expected in (1, 2):  # the ninth at once; the tenth has an ETA, and its worker schedules it
        worker = host_project.start_worker()
        until(
            lambda least=expected: len(host_project.runs()) >= least,
            "the runs of the tasks that are not revoked",
        )
        worker.terminate()
        worker.wait(WAIT_TIMEOUT)

    assert sorted(number for _id, number, _at in host_project.runs()) == ["8", "9"]
    states = host_project.shell.run_json(STATES)
    assert states == [["REVOKED"] * 2] * 8 + [["SUCCESS"] * 2] * 2


def test_the_permission_is_required(db, charlie):
    with pytest.raises(NotAllowed):
        revoke(charlie, make_result("PENDING"))
    assert not Operation.objects.exists()
    assert not Target.objects.exists()
