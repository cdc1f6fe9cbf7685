"""`manage.py ops`: the lists and actions of the pages, with the same permissions."""

import json
import time

import pytest
from django.core.management import CommandError, call_command

from tasks_admin import dispatcher, queues
from tasks_admin.integrations import broker as broker_api
from tasks_admin.integrations import control
from tasks_admin.integrations.control import Snapshot, WorkerView, snapshots
from tasks_admin.lib.verbs import VERBS
from tasks_admin.management.subcommands import GROUPS
from tasks_admin.models import Operation, Queue
from tests.support.factories import make_failure_group, make_operation, make_result

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clear_caches():
    """The process keeps snapshots for two seconds."""
    control.clear_cache()
    queues.clear_cache()
    yield
    control.clear_cache()
    queues.clear_cache()


def ops(capsys, *words):
    call_command("ops", *words)
    return capsys.readouterr().out


def rows(capsys, *words):
    return json.loads(ops(capsys, *words, "--json"))


def set_online():
    """Set the current snapshot: one worker has replied."""
    view = WorkerView(name="w@here", pool="prefork", processes=2, queues=["mail"])
    snapshots._last = Snapshot(workers=[view], taken_at=time.monotonic() + 60)


def test_workers(capsys, alice):
    set_online()

    assert rows(capsys, "workers", "--as", "alice")[0]["name"] == "w@here"
    assert "w@here  online  prefork  2" in ops(capsys, "workers", "--as", "alice")


def test_control_characters_are_replaced(capsys, alice):
    view = WorkerView(name="w\x1b[2J\n", pool="prefork", queues=["mail"])
    snapshots._last = Snapshot(workers=[view], taken_at=time.monotonic() + 60)

    assert "w?[2J?  online" in ops(capsys, "workers", "--as", "alice")


def test_results_by_status_and_task(capsys, alice):
    failed = make_result(task="a")
    make_result("SUCCESS", task="a")
    make_result(task="b")

    found = rows(capsys, "results", "--as", "alice", "--status", "FAILURE", "--task", "a")

    assert [row["id"] for row in found] == [failed.task_id]
    assert len(rows(capsys, "results", "--as", "alice", "--limit", "2")) == 2


def test_retry_and_revoke(capsys, alice):
    failed, waiting = make_result(), make_result("PENDING")

    (row,) = rows(capsys, "retry", failed.task_id, "--as", "alice", "--reason", "r")
    assert (row["verb"], row["waiting"]) == ("retry_failed", 1)
    (row,) = rows(capsys, "revoke", waiting.task_id, "--as", "alice", "--reason", "r")
    assert row["verb"] == "revoke"
    assert set(Operation.objects.values_list("actor_name", flat=True)) == {"alice"}


def test_answer_to_a_field_that_the_form_does_not_have(capsys, alice):
    failed = make_result()

    with pytest.raises(CommandError, match="revoke has no field color"):
        ops(capsys, "revoke", failed.task_id, "--answer", "color=red", "--as", "alice",
            "--reason", "r")  # fmt: skip


def test_pause_an_operation(capsys, alice):
    operation = make_operation(1)

    (row,) = rows(capsys, "pause", str(operation.pk), "--as", "alice", "--reason", "r")

    assert row["state"] == "paused"
    with pytest.raises(CommandError, match="Nothing was changed"):
        ops(capsys, "pause", str(operation.pk), "--as", "alice", "--reason", "r")
    assert rows(capsys, "operations", "--as", "alice")[-1]["state"] == "paused"


def test_throttle(capsys, alice):
    operation = make_operation(1)
    words = ("throttle", str(operation.pk), "--as", "alice", "--reason", "r")

    rows(capsys, *words, "--rate", "60")
    assert Operation.objects.get(pk=operation.pk).rate == 60
    with pytest.raises(CommandError, match="greater than or equal to 1"):
        ops(capsys, *words, "--rate", "-1")
    rows(capsys, *words)
    assert Operation.objects.get(pk=operation.pk).rate is None


def test_causes(capsys, alice):
    group = make_failure_group(task="a")
    acting = ("--as", "alice", "--reason", "r")

    (row,) = rows(capsys, "failure_groups", "--as", "alice")
    assert (row["id"], row["state"], row["task"]) == (group.pk, "open", "a")
    assert rows(capsys, "mute", str(group.pk), *acting)[0]["verb"] == "mute"
    with pytest.raises(CommandError, match="Nothing was changed"):
        ops(capsys, "mute", str(group.pk), *acting)
    with pytest.raises(CommandError, match="There is no failure group 99"):
        ops(capsys, "retry", "--group", "99", *acting)


def test_retry_all_failures(capsys, alice):
    make_result()
    group = make_failure_group()

    (row,) = rows(capsys, "retry", "--group", str(group.pk), "--as", "alice", "--reason", "r")

    assert row["waiting"] == 1
    operation = Operation.objects.get()
    assert operation.targets.get().subject == group.failures.get().task_id
    with pytest.raises(CommandError):  # nothing of it has failed
        ops(capsys, "retry", "--operation", str(operation.pk), "--as", "alice", "--reason", "r")


def test_worker_command(capsys, alice, monkeypatch):
    set_online()
    replies = {"w@here": {"ok": "x", "before": 2, "after": 4}}
    monkeypatch.setattr(control, "send_command", lambda *_, **__: replies)
    words = ("pool_grow", "w@here", "--set", "n=2", "--as", "alice", "--reason", "r")

    (row,) = rows(capsys, *words)

    assert (row["outcome"], row["detail"]) == ("done", "2 → 4")
    set_online()
    with pytest.raises(CommandError, match="whole number"):
        ops(capsys, *words[:3], "n=99", *words[4:])


def test_worker_command_to_all(capsys, alice, monkeypatch):
    set_online()
    solo = WorkerView(name="solo@here", pool="solo", processes=1, queues=["mail"])
    snapshots._last.workers.append(solo)
    sent = []
    monkeypatch.setattr(control, "send_command", lambda *_, **to: sent.append(to) or {})
    words = ("pool_grow", "--all", "--set", "n=2", "--as", "alice", "--reason", "r")

    rows(capsys, *words)

    assert sent == [{"destination": ["w@here"]}]
    control.clear_cache()
    with pytest.raises(CommandError, match="at least one worker"):
        ops(capsys, *words)


@pytest.mark.parametrize(
    "words",
    [("retry", "x"), ("terminate", "x"), ("pause", "1"), ("shut_down", "w@here")],
)
def test_missing_permission(capsys, charlie, words):
    set_online()
    make_operation(1)
    before = Operation.objects.count()

    with pytest.raises(CommandError):
        ops(capsys, *words, "--as", "charlie", "--reason", "r")
    assert Operation.objects.count() == before


@pytest.mark.parametrize("word", ["workers", "results", "operations"])
def test_missing_view_permission(capsys, mallory, word):
    with pytest.raises(CommandError, match="does not have the permission"):
        ops(capsys, word, "--as", "mallory")


@pytest.mark.parametrize(
    "words",
    [("workers",), ("workers", "--as", "unknown"), ("retry", "x", "--as", "alice"), ("dance",),
     ("pause", "99", "--as", "alice", "--reason", "r"),
     ("retry", "x", "--as", "alice", "--reason", "r")],
)  # fmt: skip
def test_invalid_arguments(capsys, alice, words):
    with pytest.raises(CommandError):
        ops(capsys, *words)


def test_every_staff_verb_has_a_subcommand():
    """Except those that need a page: a preview of users, a form, or unmasked values."""
    with_page = {"send_reset_email", "edit_and_retry", "reveal_arguments"}
    staff_verbs = {name for name, verb in VERBS.items() if verb.permission}

    assert {verb for group in GROUPS for verb in group.verbs} == staff_verbs - with_page


class TestQueues:
    """The actions of the queue pages."""

    def test_list(self, capsys, alice, broker):
        queued("mail", 3)

        by_name = {row["name"]: row for row in rows(capsys, "queues", "--as", "alice")}

        assert by_name["mail"]["waiting"] == 3
        assert by_name["mail"]["no_consumers"] is True

    @pytest.mark.parametrize("word", ["pause_queue", "resume_queue"])
    def test_pause_and_resume(self, capsys, alice, broker, word):
        ops(capsys, word, "mail", "--as", "alice", "--reason", "r")

        assert Operation.objects.get().verb == word
        assert bool(Queue.objects.get().paused_at) is (word == "pause_queue")

    def test_purge_and_restore(self, capsys, alice, broker):
        queued("mail", 3)
        by = ("--as", "alice", "--reason", "r")
        (row,) = rows(capsys, "purge_queue", "mail", *by)
        dispatcher.sweep()
        assert broker.llen("mail") == 0

        rows(capsys, "restore_queue", str(row["id"]), *by)
        dispatcher.sweep()

        assert broker.llen("mail") == 3

    def test_peek_is_masked(self, capsys, alice, broker):
        queued("mail", 1, kwargs={"password": "hunter2"})

        (row,) = rows(capsys, "peek_queue", "mail", "--as", "alice")

        assert row["task"] == "tests.t"
        assert "hunter2" not in str(row)

    def test_unknown_queue(self, capsys, alice):
        with pytest.raises(CommandError, match="unknown queue"):
            ops(capsys, "purge_queue", "unknown", "--as", "alice", "--reason", "r")

    def test_missing_view_permission(self, capsys, mallory):
        with pytest.raises(CommandError, match="does not have the permission"):
            ops(capsys, "queues", "--as", "mallory")


def queued(queue, count, **more):
    messages = [
        broker_api.Message(task_id=f"t{n}", task="tests.t", args=[n], queue=queue, **more)
        for n in range(count)
    ]
    broker_api.publish(messages)
