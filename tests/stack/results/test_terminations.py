"""What runs is ended by a signal; it is done when its process is gone, and said so only then."""

import json
import os
import signal

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
from tests.support.host_project import prepare_host, read_runs, run_python, start_worker
from tests.support.stack import until

NOBODY = TerminationReplies(replied=frozenset(), signalled={}, refused=frozenset())


def terminate(actor, *rows):
    chosen = Result.objects.filter(pk__in=[row.pk for row in rows])
    return cancellation.terminate(
        results=chosen, confirmation=Confirmation(actor=actor, reason="r")
    )


def told(monkeypatch, *, processes=(), **said):
    """Let workers say this; the outermost edge."""
    known = {"replied": frozenset({"w"}), "signalled": {}, "refused": frozenset()} | said
    monkeypatch.setattr(control, "terminate", lambda ids: TerminationReplies(**known))
    monkeypatch.setattr(control, "pool_processes", lambda: set(processes))


def outcome(operation):
    (target,) = operation.targets.all()
    return target.state, target.reason


def sweep_at_once(operation):
    operation.targets.update(due_at=Now())
    dispatcher.sweep()


@pytest.mark.parametrize("status", ["SUCCESS", "FAILURE", "REVOKED", "LOST"])
def test_what_is_over_is_left_out(alice, status):
    make_result(status)

    assert cancellation.select_running(Result.objects.all()).excluded == {"ended": 1}


def test_it_takes_its_own_permission(make_user, charlie):
    with pytest.raises(NotAllowed):
        terminate(charlie, make_result("STARTED"))

    assert not Operation.objects.exists()


def test_nobody_answers(broker, alice):
    operation = terminate(alice, make_result("STARTED", worker="w"))

    dispatcher.sweep()

    assert outcome(operation) == ("unknown", "silent")


def test_no_broker_nothing_is_known_and_it_is_asked_again(no_broker, alice):
    operation = terminate(alice, make_result("STARTED", worker="w"))

    with pytest.raises(BrokerUnreachable):
        dispatcher.sweep()

    assert operation.targets.get().state == "waiting"


def test_it_is_done_when_its_process_is_gone(monkeypatch, alice):
    row = make_result("STARTED", worker="w")
    operation = terminate(alice, row)
    told(monkeypatch, signalled={row.task_id: ("w", 7)}, processes=[("w", 7), ("w", 8)])
    dispatcher.sweep()
    sweep_at_once(operation)
    assert outcome(operation) == ("waiting", "signalled")
    assert revocations.revoked(row.task_id)
    monkeypatch.setattr(control, "pool_processes", lambda: {("w", 8)})

    sweep_at_once(operation)

    assert outcome(operation) == ("done", "")


def test_a_worker_that_fell_silent_has_not_said_so(monkeypatch, alice):
    row = make_result("STARTED", worker="w")
    operation = terminate(alice, row)
    told(monkeypatch, signalled={row.task_id: ("w", 7)}, processes=[("other", 8)])
    dispatcher.sweep()
    sweep_at_once(operation)
    assert outcome(operation) == ("waiting", "signalled")
    operation.targets.update(started_at="2020-01-01T00:00Z")

    sweep_at_once(operation)

    assert outcome(operation) == ("unknown", "ignores")


@pytest.mark.parametrize(
    ("status", "worker", "expected"),
    [
        ("STARTED", "w", ("skipped", "not_running")),
        ("STARTED", "other", ("unknown", "silent")),
        ("PENDING", None, ("skipped", "not_running")),
    ],
)
def test_what_runs_nowhere_is_left_alone(monkeypatch, alice, status, worker, expected):
    row = make_result(status, worker=worker)
    operation = terminate(alice, row)
    told(monkeypatch)

    dispatcher.sweep()

    assert outcome(operation) == expected
    assert not revocations.revoked(row.task_id)


def test_what_cannot_be_ended_is_refused(monkeypatch, alice):
    row = make_result("STARTED", worker="w")
    operation = terminate(alice, row)
    told(monkeypatch, refused=frozenset({row.task_id}))

    dispatcher.sweep()

    assert outcome(operation) == ("failed", "no_kill")


@pytest.mark.parametrize(
    ("status", "expected"),
    [("REVOKED", ("done", "")), ("SUCCESS", ("skipped", "not_running"))],
)
def test_a_dispatcher_died_after_it_asked(monkeypatch, alice, status, expected):
    row = make_result("STARTED", worker="w")
    operation = terminate(alice, row)
    told(monkeypatch)
    died = KeyboardInterrupt()
    monkeypatch.setattr(control, "terminate", lambda ids: (_ for _ in ()).throw(died))
    with pytest.raises(KeyboardInterrupt):
        dispatcher.sweep()
    Result.objects.update(status=status)
    told(monkeypatch)

    sweep_at_once(operation)

    assert outcome(operation) == expected


def test_two_dispatchers_ask_once(monkeypatch, alice):
    operation = terminate(alice, make_result("STARTED", worker="w"))
    calls = []

    def once(ids):
        calls.append(ids)
        dispatcher.sweep()  # another one, meanwhile
        return NOBODY

    monkeypatch.setattr(control, "terminate", once)
    dispatcher.sweep()

    assert len(calls) == 1
    assert outcome(operation) == ("unknown", "silent")


BEGIN = """
import django; django.setup()
from tests.host import celery_app as project
project.app.set_current()
for seconds, stubborn in {calls}:
    project.long.delay(seconds, stubborn)
"""
TERMINATE = """
import django, json, time; django.setup()
from django.contrib.auth.models import User
from tasks_admin import dispatcher
from tasks_admin.results import cancellation
from tasks_admin.models import Operation, Result
from tests.host import celery_app as project
boss = User.objects.create_superuser("boss")
operation = cancellation.terminate(results=Result.objects.all(), actor=boss, reason="r")
until = time.monotonic() + 60
while not Operation.objects.get().is_finished and time.monotonic() < until:
    dispatcher.sweep()
    time.sleep(0.1)
told = operation.targets.order_by("pk").values_list("state", "reason")
rows = Result.objects.order_by("pk")
print(json.dumps([list(told), [row.status for row in rows],
                  [project.app.AsyncResult(row.task_id).state for row in rows]]))
"""


def host(tmp_path, valkey, *options, calls, broker=None):
    """Run tasks in a real worker and terminate all; return outcomes, statuses and lines."""
    log = tmp_path / "runs"
    environment = prepare_host(valkey, f"sqlite:///{tmp_path / 'host.sqlite3'}", log)
    worker = start_worker(environment, *options)
    try:
        run_python(BEGIN.format(calls=calls), environment)
        begun = 2 if len(calls) > 2 else len(calls)
        until(lambda: len(read_runs(log)) == begun, "tasks that run")
        told = json.loads(run_python(TERMINATE, environment).splitlines()[-1])
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
    return *told, read_runs(log)


@pytest.mark.stack
def test_a_real_worker(tmp_path, valkey):
    calls = [(600, False), (600, False), (600, False)]

    told, statuses, states, runs = host(tmp_path, valkey, calls=calls)

    assert [tuple(one) for one in told] == [("done", ""), ("done", ""), ("skipped", "not_running")]
    assert statuses[:2] == states[:2] == ["REVOKED", "REVOKED"]
    assert len({line[0] for line in runs}) == len(runs)  # none of them ran twice


@pytest.mark.stack
def test_a_task_that_ignores_the_signal(tmp_path, valkey):
    told, _statuses, _states, _runs = host(tmp_path, valkey, calls=[(30, True)])

    assert [tuple(one) for one in told] == [("unknown", "ignores")]


@pytest.mark.stack
@pytest.mark.parametrize("pool", ["threads"])
def test_a_pool_that_cannot(tmp_path, valkey, pool):
    told, statuses, _states, _runs = host(tmp_path, valkey, "--pool", pool, calls=[(8, False)])

    assert [tuple(one) for one in told] == [("failed", "no_kill")]
    assert statuses == ["PENDING"]


def test_the_page_offers_what_is_possible(as_user, alice):
    client = as_user(alice)
    for status, acts in (
        ("PENDING", {"revoke", "terminate"}),
        ("STARTED", {"terminate"}),
        ("LOST", {"retry_failed", "edit_and_retry", "revoke"}),
        ("SUCCESS", set()),
    ):
        page = client.get(f"/admin/tasks_admin/result/{make_result(status).pk}/change/")
        offered = {act.name for act in page.context_data["acts"]}
        assert offered == acts, status
    assert not Target.objects.exists()
