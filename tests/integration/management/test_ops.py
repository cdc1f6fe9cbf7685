"""`manage.py ops`: the same functions, the same permissions, from a shell."""

import json
import time

import pytest
from django.core.management import CommandError, call_command

from tasks_admin import dispatcher, queues
from tasks_admin.integrations import broker as broker_api
from tasks_admin.integrations import control
from tasks_admin.integrations.control import Snapshot, WorkerView, snapshots
from tasks_admin.models import Operation, Queue
from tests.support.factories import make_failure_group, make_operation, make_result

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def forgetful():
    """A snapshot is kept for two seconds."""
    control.clear_cache()
    queues.clear_cache()
    yield
    control.clear_cache()
    queues.clear_cache()


def ops(capsys, *words):
    call_command("ops", *words)
    return capsys.readouterr().out


def told(capsys, *words):
    return json.loads(ops(capsys, *words, "--json"))


def there():
    view = WorkerView(name="w@here", pool="prefork", processes=2, queues=["mail"])
    snapshots._last = Snapshot(workers=[view], taken_at=time.monotonic() + 60)


def test_workers(capsys, alice):
    there()

    assert told(capsys, "workers", "--as", "alice")[0]["name"] == "w@here"
    assert "w@here  online  prefork  2" in ops(capsys, "workers", "--as", "alice")


def test_a_terminal_is_told_nothing_but_text(capsys, alice):
    view = WorkerView(name="w\x1b[2J\n", pool="prefork", queues=["mail"])
    snapshots._last = Snapshot(workers=[view], taken_at=time.monotonic() + 60)

    assert "w?[2J?  online" in ops(capsys, "workers", "--as", "alice")


def test_results_by_status_and_task(capsys, alice):
    failed = make_result(task="a")
    make_result("SUCCESS", task="a")
    make_result(task="b")

    rows = told(capsys, "results", "--as", "alice", "--status", "FAILURE", "--task", "a")

    assert [row["id"] for row in rows] == [failed.task_id]
    assert len(told(capsys, "results", "--as", "alice", "--limit", "2")) == 2


def test_retry_and_revoke(capsys, alice):
    failed, waiting = make_result(), make_result("PENDING")

    (row,) = told(capsys, "retry", failed.task_id, "--as", "alice", "--reason", "r")
    assert (row["verb"], row["waiting"]) == ("retry_failed", 1)
    (row,) = told(capsys, "revoke", waiting.task_id, "--as", "alice", "--reason", "r")
    assert row["verb"] == "revoke"
    assert set(Operation.objects.values_list("actor_name", flat=True)) == {"alice"}


def test_moves(capsys, alice):
    operation = make_operation(1)

    (row,) = told(capsys, "pause", str(operation.pk), "--as", "alice", "--reason", "r")

    assert row["state"] == "paused"
    with pytest.raises(CommandError, match="Nothing was changed"):
        ops(capsys, "pause", str(operation.pk), "--as", "alice", "--reason", "r")
    assert told(capsys, "operations", "--as", "alice")[-1]["state"] == "paused"


def test_a_rate(capsys, alice):
    operation = make_operation(1)
    words = ("throttle", str(operation.pk), "--as", "alice", "--reason", "r")

    told(capsys, *words, "--rate", "60")
    assert Operation.objects.get(pk=operation.pk).rate == 60
    with pytest.raises(CommandError, match="greater than or equal to 1"):
        ops(capsys, *words, "--rate", "-1")
    told(capsys, *words)
    assert Operation.objects.get(pk=operation.pk).rate is None


def test_causes(capsys, alice):
    group = make_failure_group(task="a")
    acting = ("--as", "alice", "--reason", "r")

    (row,) = told(capsys, "failure_groups", "--as", "alice")
    assert (row["id"], row["state"], row["task"]) == (group.pk, "open", "a")
    assert told(capsys, "mute", str(group.pk), *acting)[0]["verb"] == "mute"
    with pytest.raises(CommandError, match="Nothing was changed"):
        ops(capsys, "mute", str(group.pk), *acting)
    with pytest.raises(CommandError, match="There is no failure group 99"):
        ops(capsys, "retry", "--group", "99", *acting)


def test_retry_all_that_failed_of(capsys, alice):
    make_result()
    group = make_failure_group()

    (row,) = told(capsys, "retry", "--group", str(group.pk), "--as", "alice", "--reason", "r")

    assert row["waiting"] == 1
    operation = Operation.objects.get()
    assert operation.targets.get().subject == group.failures.get().task_id
    with pytest.raises(CommandError):  # nothing of it has failed
        ops(capsys, "retry", "--operation", str(operation.pk), "--as", "alice", "--reason", "r")


def test_orders(capsys, alice, monkeypatch):
    there()
    said = {"w@here": {"ok": "x", "before": 2, "after": 4}}
    monkeypatch.setattr(control, "send_command", lambda *_, **__: said)
    words = ("pool_grow", "w@here", "--set", "n=2", "--as", "alice", "--reason", "r")

    (row,) = told(capsys, *words)

    assert (row["outcome"], row["detail"]) == ("done", "2 → 4")
    there()
    with pytest.raises(CommandError, match="whole number"):
        ops(capsys, *words[:3], "n=99", *words[4:])


def test_an_order_to_all(capsys, alice, monkeypatch):
    there()
    solo = WorkerView(name="solo@here", pool="solo", processes=1, queues=["mail"])
    snapshots._last.workers.append(solo)
    given = []
    monkeypatch.setattr(control, "send_command", lambda *_, **to: given.append(to) or {})
    words = ("pool_grow", "--all", "--set", "n=2", "--as", "alice", "--reason", "r")

    told(capsys, *words)

    assert given == [{"destination": ["w@here"]}]
    control.clear_cache()
    with pytest.raises(CommandError, match="at least one worker"):
        ops(capsys, *words)


@pytest.mark.parametrize(
    "words",
    [("retry", "x"), ("terminate", "x"), ("pause", "1"), ("shut_down", "w@here")],
)
def test_who_may_not_is_refused(capsys, charlie, words):
    there()
    make_operation(1)
    before = Operation.objects.count()

    with pytest.raises(CommandError):
        ops(capsys, *words, "--as", "charlie", "--reason", "r")
    assert Operation.objects.count() == before


@pytest.mark.parametrize("word", ["workers", "results", "operations"])
def test_who_may_not_look_sees_nothing(capsys, mallory, word):
    with pytest.raises(CommandError, match="lacks the permission"):
        ops(capsys, word, "--as", "mallory")


@pytest.mark.parametrize(
    "words",
    [("workers",), ("workers", "--as", "nobody"), ("retry", "x", "--as", "alice"), ("dance",),
     ("pause", "99", "--as", "alice", "--reason", "r"),
     ("retry", "x", "--as", "alice", "--reason", "r")],
)  # fmt: skip
def test_nonsense(capsys, alice, words):
    with pytest.raises(CommandError):
        ops(capsys, *words)


class TestQueues:
    """Queues: the same acts as on their pages."""

    def test_what_waits(self, capsys, alice, broker):
        queued("mail", 3)

        rows = {row["name"]: row for row in told(capsys, "queues", "--as", "alice")}

        assert rows["mail"]["waiting"] == 3
        assert rows["mail"]["nobody_consumes"] is True

    @pytest.mark.parametrize("word", ["pause_queue", "resume_queue"])
    def test_pause_and_resume(self, capsys, alice, broker, word):
        ops(capsys, word, "mail", "--as", "alice", "--reason", "r")

        assert Operation.objects.get().verb == word
        assert bool(Queue.objects.get().paused_at) is (word == "pause_queue")

    def test_purge_and_restore(self, capsys, alice, broker):
        queued("mail", 3)
        act = ("--as", "alice", "--reason", "r")
        (row,) = told(capsys, "purge_queue", "mail", *act)
        dispatcher.sweep()
        assert broker.llen("mail") == 0

        told(capsys, "restore_queue", str(row["id"]), *act)
        dispatcher.sweep()

        assert broker.llen("mail") == 3

    def test_the_next_messages_are_masked(self, capsys, alice, broker):
        queued("mail", 1, kwargs={"password": "hunter2"})

        (row,) = told(capsys, "peek_queue", "mail", "--as", "alice", "--reason", "r")

        assert row["task"] == "tests.t"
        assert "hunter2" not in str(row)

    def test_an_unknown_queue(self, capsys, alice):
        with pytest.raises(CommandError, match="unknown queue"):
            ops(capsys, "purge_queue", "nobody", "--as", "alice", "--reason", "r")

    def test_who_may_not_look(self, capsys, mallory):
        with pytest.raises(CommandError, match="lacks the permission"):
            ops(capsys, "queues", "--as", "mallory")


def queued(queue, count, **more):
    messages = [
        broker_api.Message(task_id=f"t{n}", task="tests.t", args=[n], queue=queue, **more)
        for n in range(count)
    ]
    broker_api.publish(messages)
