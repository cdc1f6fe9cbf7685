"""Following up commands with unknown outcomes when the workers reply again."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from tasks_admin.integrations import control
from tasks_admin.lib import verbs
from tasks_admin.models import Operation, Queue, Target, Worker
from tasks_admin.workers import commands
from tests.stack.workers.test_heartbeats import make_worker

pytestmark = pytest.mark.django_db


@pytest.fixture
def record_command(alice):
    """Record a command that was sent some time ago and has no outcome."""

    def record(verb="pool_grow", *names, reason="no_reply", ago=60):
        operation = commands.record(
            verb=verb, names=list(names or ("w",)), actor=alice, reason="r", arguments={}
        )
        then = timezone.now() - timedelta(seconds=ago)
        Operation.objects.filter(pk=operation.pk).update(created_at=then)
        operation.targets.update(reason=reason)
        return operation

    return record


@pytest.fixture
def set_outcomes(monkeypatch):
    """Set the outcomes that workers report, by name; return the names that were asked."""
    asked = []

    def set_replies(*replies):
        def report(keys, *, destination):
            asked.extend(destination)
            return [(name, key, reply) for key in keys for name, reply in replies]

        monkeypatch.setattr(control, "command_outcomes", report)
        return asked

    return set_replies


def outcomes_of(operation):
    return list(operation.targets.values_list("state", "reason", "detail"))


DONE = {"ok": "x", "before": 2, "after": 3}


class TestQuery:
    """A worker that replies again."""

    @pytest.mark.parametrize(
        ("replies", "expected"),
        [
            ([("w", DONE)], ("done", "", "2 → 3")),
            ([("w", {"error": "no"})], ("failed", "command_refused", "no")),
            ([("w", None)], ("failed", "not_delivered", "")),
            ([("w", None), ("w", DONE), ("w", None)], ("done", "", "2 → 3")),
            ([], ("unknown", "no_reply", "")),
        ],
    )  # fmt: skip
    def test_reported_outcome(self, record_command, set_outcomes, replies, expected):
        make_worker("w")
        operation = record_command()
        set_outcomes(*replies)

        commands.follow_up()

        assert outcomes_of(operation) == [expected]

    def test_offline_unknown_and_recent_targets_are_skipped(self, record_command, set_outcomes):
        make_worker("w", ago=60)
        make_worker("v")
        record_command("pool_grow", "w")
        record_command("pool_grow", "v", ago=1)
        record_command("pool_grow", "other")
        asked = set_outcomes(("w", None), ("v", None))

        commands.follow_up()

        assert asked == []
        assert set(Target.objects.values_list("reason", flat=True)) == {"no_reply"}

    def test_command_that_runs_after_the_follow_up(self, record_command, set_outcomes):
        make_worker("w")
        operation = record_command()
        set_outcomes(("w", None))
        commands.follow_up()

        commands.record_outcome(str(operation.key), "w", DONE)

        assert outcomes_of(operation) == [("done", "", "2 → 3")]

    def test_no_unknown_outcome(self, django_assert_num_queries):
        with django_assert_num_queries(1):
            commands.follow_up()


class TestStopping:
    """A worker that replied that it stops has stopped when it is gone."""

    @pytest.mark.parametrize("ago", [0, 60])
    def test_no_more_heartbeats(self, record_command, set_outcomes, ago):
        make_worker("w", ago=ago)
        operation = record_command("shut_down", reason="stopping")
        set_outcomes(("w", {"ok": "stops"}))

        commands.follow_up()

        gone = ("done", "worker_gone", "")
        assert outcomes_of(operation) == [gone if ago else ("unknown", "stopping", "")]

    def test_new_worker_with_the_same_name(self, record_command, set_outcomes):
        make_worker("w")
        operation = record_command("shut_down", reason="stopping")
        set_outcomes(("w", None))

        commands.follow_up()

        assert outcomes_of(operation) == [("done", "worker_gone", "")]


class TestPauses:
    """Pauses are sent again: decisions are numbered, and the current state is sent."""

    def test_current_state_is_sent(self, record_command, monkeypatch):
        make_worker("w")
        make_worker("offline", ago=60)
        operation = record_command("pause_queue", "w", "offline")
        Queue.objects.set_paused("mail", True, revision=operation.pk)
        sent = []

        def order(key, verb, arguments, *, destination):
            sent.append((key, arguments, destination))
            return {"w": {"ok": "applied", "before": "mail", "after": ""}}

        monkeypatch.setattr(control, "send_command", order)

        commands.follow_up()

        paused = {"paused": ["mail"], "revision": operation.pk}
        assert sent == [(str(operation.key), paused, ["w"])]
        assert set(outcomes_of(operation)) == {("done", "", "mail → "), ("unknown", "no_reply", "")}


def test_worker_reports_outcomes():
    key, other = str(uuid.uuid4()), str(uuid.uuid4())
    control.outcomes[key] = DONE

    reported = control.worker_commands.console_command_outcomes(None, keys=[key, other])

    assert reported == {key: DONE, other: None}
    control.outcomes.clear()


def test_every_command_has_an_aspect_to_compare():
    assert {*verbs.WORKER_COMMANDS, *verbs.QUEUE_CONSUMPTION} <= set(
        control.worker_commands.READERS
    )
    assert Worker._meta.get_field("name").max_length == Target._meta.get_field("subject").max_length
