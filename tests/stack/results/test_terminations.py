"""A running task gets a signal; its target is done when the process has ended, not before."""

import pytest
from django.db.models.functions import Now

from tasks_admin import dispatcher
from tasks_admin.integrations import control
from tasks_admin.integrations.control import TerminationReplies
from tasks_admin.lib.errors import BrokerUnreachable, NotAllowed
from tasks_admin.models import Operation, Result, Target
from tasks_admin.operations import Confirmation
from tasks_admin.results import cancellation, revocations
from tests.support.factories import make_result
from tests.support.stack import until

NO_REPLY = TerminationReplies(replied=frozenset(), signalled={}, refused=frozenset())


def terminate(actor, *rows):
    chosen = Result.objects.filter(pk__in=[row.pk for row in rows])
    return cancellation.terminate(
        results=chosen, confirmation=Confirmation(actor=actor, reason="r")
    )


def replies(monkeypatch, *, processes=(), **fields):
    """Let the workers reply this; only the outermost call is mocked."""
    values = {"replied": frozenset({"w"}), "signalled": {}, "refused": frozenset()} | fields
    monkeypatch.setattr(control, "terminate", lambda ids: TerminationReplies(**values))
    monkeypatch.setattr(control, "pool_processes", lambda: set(processes))


def outcome(operation):
    (target,) = operation.targets.all()
    return target.state, target.reason


def sweep_at_once(operation):
    operation.targets.update(due_at=Now())
    dispatcher.sweep()


@pytest.mark.parametrize("status", ["SUCCESS", "FAILURE", "REVOKED", "LOST"])
def test_finished_tasks_are_excluded(alice, status):
    make_result(status)

    assert cancellation.select_running(Result.objects.all()).excluded == {"ended": 1}


def test_the_permission_is_required(make_user, charlie):
    with pytest.raises(NotAllowed):
        terminate(charlie, make_result("STARTED"))

    assert not Operation.objects.exists()


def test_no_worker_replies(broker, alice):
    operation = terminate(alice, make_result("STARTED", worker="w"))

    dispatcher.sweep()

    assert outcome(operation) == ("unknown", "no_reply_maybe_running")


def test_without_a_broker_the_workers_are_asked_again(no_broker, alice):
    operation = terminate(alice, make_result("STARTED", worker="w"))

    with pytest.raises(BrokerUnreachable):
        dispatcher.sweep()

    assert operation.targets.get().state == "waiting"


def test_a_target_is_done_when_its_process_has_ended(monkeypatch, alice):
    row = make_result("STARTED", worker="w")
    operation = terminate(alice, row)
    replies(monkeypatch, signalled={row.task_id: ("w", 7)}, processes=[("w", 7), ("w", 8)])
    dispatcher.sweep()
    sweep_at_once(operation)
    assert outcome(operation) == ("waiting", "signalled")
    assert revocations.is_revoked(row.task_id)
    monkeypatch.setattr(control, "pool_processes", lambda: {("w", 8)})

    sweep_at_once(operation)

    assert outcome(operation) == ("done", "")


def test_without_a_reply_of_its_worker_the_process_may_still_run(monkeypatch, alice):
    row = make_result("STARTED", worker="w")
    operation = terminate(alice, row)
    replies(monkeypatch, signalled={row.task_id: ("w", 7)}, processes=[("other", 8)])
    dispatcher.sweep()
    sweep_at_once(operation)
    assert outcome(operation) == ("waiting", "signalled")
    operation.targets.update(started_at="2020-01-01T00:00Z")

    sweep_at_once(operation)

    assert outcome(operation) == ("unknown", "still_running")


@pytest.mark.parametrize(
    ("status", "worker", "expected"),
    [
        ("STARTED", "w", ("skipped", "not_running")),
        ("STARTED", "other", ("unknown", "no_reply_maybe_running")),
        ("PENDING", None, ("skipped", "not_running")),
    ],
)
def test_a_task_that_runs_nowhere_is_skipped(monkeypatch, alice, status, worker, expected):
    row = make_result(status, worker=worker)
    operation = terminate(alice, row)
    replies(monkeypatch)

    dispatcher.sweep()

    assert outcome(operation) == expected
    assert not revocations.is_revoked(row.task_id)


def test_a_pool_that_cannot_terminate_refuses(monkeypatch, alice):
    row = make_result("STARTED", worker="w")
    operation = terminate(alice, row)
    replies(monkeypatch, refused=frozenset({row.task_id}))

    dispatcher.sweep()

    assert outcome(operation) == ("failed", "pool_cannot_terminate")


@pytest.mark.parametrize(
    ("status", "expected"),
    [("REVOKED", ("done", "")), ("SUCCESS", ("skipped", "not_running"))],
)
def test_a_dispatcher_that_died_after_its_request(monkeypatch, alice, status, expected):
    row = make_result("STARTED", worker="w")
    operation = terminate(alice, row)
    replies(monkeypatch)
    crash = KeyboardInterrupt()
    monkeypatch.setattr(control, "terminate", lambda ids: (_ for _ in ()).throw(crash))
    with pytest.raises(KeyboardInterrupt):
        dispatcher.sweep()
    Result.objects.update(status=status)
    replies(monkeypatch)

    sweep_at_once(operation)

    assert outcome(operation) == expected


def test_two_dispatchers_send_one_request(monkeypatch, alice):
    operation = terminate(alice, make_result("STARTED", worker="w"))
    calls = []

    def once(ids):
        calls.append(ids)
        dispatcher.sweep()  # another dispatcher, meanwhile
        return NO_REPLY

    monkeypatch.setattr(control, "terminate", once)
    dispatcher.sweep()

    assert len(calls) == 1
    assert outcome(operation) == ("unknown", "no_reply_maybe_running")


TERMINATE = """
import time
from tasks_admin.results import cancellation
operation = cancellation.terminate(
    results=Result.objects.all(), confirmation=Confirmation(**audit))
deadline = time.monotonic() + 60
while not Operation.objects.get().is_finished and time.monotonic() < deadline:
    dispatcher.sweep()
    time.sleep(0.1)
outcomes = operation.targets.order_by("pk").values_list("state", "reason")
rows = Result.objects.order_by("pk")
print(json.dumps([list(outcomes), [row.status for row in rows],
                  [project.app.AsyncResult(row.task_id).state for row in rows]]))
"""


def terminate_all(host, *options, calls):
    """Run tasks in a real worker and terminate all; return outcomes, statuses, states and runs."""
    host.start_worker(*options)
    host.shell.run(f"for arguments in {calls!r}: project.sleep.delay(*arguments)")
    started = min(len(calls), 2)
    until(lambda: len(host.runs()) == started, "the tasks run")
    outcomes, statuses, states = host.shell.run_json(TERMINATE)
    return [tuple(outcome) for outcome in outcomes], statuses, states, host.runs()


@pytest.mark.stack
def test_a_real_worker(host_project):
    outcomes, statuses, states, runs = terminate_all(host_project, calls=[(600, False)] * 3)

    assert outcomes == [("done", ""), ("done", ""), ("skipped", "not_running")]
    assert statuses[:2] == states[:2] == ["REVOKED", "REVOKED"]
    assert len({task_id for task_id, *_ in runs}) == len(runs)  # none of them ran twice


@pytest.mark.stack
def test_a_task_that_ignores_the_signal(host_project):
    outcomes, *_ = terminate_all(host_project, calls=[(600, True)])

    assert outcomes == [("unknown", "still_running")]


@pytest.mark.stack
@pytest.mark.parametrize("pool", ["threads"])
def test_a_pool_of_threads_cannot_terminate(host_project, pool):
    outcomes, statuses, *_ = terminate_all(host_project, "--pool", pool, calls=[(600, False)])

    assert outcomes == [("failed", "pool_cannot_terminate")]
    assert statuses == ["PENDING"]


def test_the_page_offers_the_applicable_actions(as_user, alice):
    client = as_user(alice)
    for status, expected in (
        ("PENDING", {"revoke", "terminate"}),
        ("STARTED", {"terminate"}),
        ("LOST", {"retry_failed", "edit_and_retry", "revoke"}),
        ("SUCCESS", set()),
    ):
        page = client.get(f"/admin/tasks_admin/result/{make_result(status).pk}/change/")
        offered = {verb.name for verb in page.context_data["actions"]}
        assert offered == expected, status
    assert not Target.objects.exists()
