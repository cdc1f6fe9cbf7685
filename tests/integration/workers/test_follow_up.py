"""Orders of which nobody heard: what became of them is found out when the workers answer."""

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
def gave(alice):
    """An order that was given a while ago, and of which nobody heard."""

    def give(verb="pool_grow", *names, reason="no_reply", ago=60):
        operation = commands.record(
            verb=verb, names=list(names or ("w",)), actor=alice, reason="r", about={}
        )
        then = timezone.now() - timedelta(seconds=ago)
        Operation.objects.filter(pk=operation.pk).update(created_at=then)
        operation.targets.update(reason=reason)
        return operation

    return give


@pytest.fixture
def say(monkeypatch):
    """Let workers answer this, by name; the outermost edge. Returns who was asked."""
    asked = []

    def say(*replies):
        def told(keys, *, destination):
            asked.extend(destination)
            return [(name, key, reply) for key in keys for name, reply in replies]

        monkeypatch.setattr(control, "outcomes", told)
        return asked

    return say


def became(operation):
    return list(operation.targets.values_list("state", "reason", "detail"))


DONE = {"ok": "x", "before": 2, "after": 3}


class TestAsked:
    """A worker that answers again."""

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
    def test_what_it_says(self, gave, say, replies, expected):
        make_worker("w")
        operation = gave()
        say(*replies)

        commands.follow_up()

        assert became(operation) == [expected]

    def test_who_is_silent_or_was_asked_just_now_is_left_alone(self, gave, say):
        make_worker("w", ago=60)
        make_worker("v")
        gave("pool_grow", "w")
        gave("pool_grow", "v", ago=1)
        gave("pool_grow", "stranger")
        asked = say(("w", None), ("v", None))

        commands.follow_up()

        assert asked == []
        assert set(Target.objects.values_list("reason", flat=True)) == {"no_reply"}

    def test_an_order_that_was_carried_out_later_still(self, gave, say):
        make_worker("w")
        operation = gave()
        say(("w", None))
        commands.follow_up()

        commands.outcome(str(operation.key), "w", DONE)

        assert became(operation) == [("done", "", "2 → 3")]

    def test_nothing_to_ask(self, django_assert_num_queries):
        with django_assert_num_queries(1):
            commands.follow_up()


class TestStopping:
    """A worker that said that it stops is believed when it is not there any more."""

    @pytest.mark.parametrize("ago", [0, 60])
    def test_it_fell_silent(self, gave, say, ago):
        make_worker("w", ago=ago)
        operation = gave("shut_down", reason="stopping")
        say(("w", {"ok": "stops"}))

        commands.follow_up()

        gone = ("done", "worker_gone", "")
        assert became(operation) == [gone if ago else ("unknown", "stopping", "")]

    def test_another_one_has_its_name(self, gave, say):
        make_worker("w")
        operation = gave("shut_down", reason="stopping")
        say(("w", None))

        commands.follow_up()

        assert became(operation) == [("done", "worker_gone", "")]


class TestPauses:
    """They are told again: they are numbered, and what holds now is told."""

    def test_what_holds_now(self, gave, monkeypatch):
        make_worker("w")
        make_worker("silent", ago=60)
        operation = gave("pause_queue", "w", "silent")
        Queue.objects.decide("mail", paused=True, decision=operation.pk)
        told = []

        def order(key, verb, arguments, *, destination):
            told.append((key, arguments, destination))
            return {"w": {"ok": "obeys", "before": "mail", "after": ""}}

        monkeypatch.setattr(control, "order", order)

        commands.follow_up()

        paused = {"paused": ["mail"], "decision": operation.pk}
        assert told == [(str(operation.key), paused, ["w"])]
        assert set(became(operation)) == {("done", "", "mail → "), ("unknown", "no_reply", "")}


def test_a_worker_tells_what_it_did():
    key, other = str(uuid.uuid4()), str(uuid.uuid4())
    control.done[key] = DONE

    told = control.worker_commands.console_outcomes(None, keys=[key, other])

    assert told == {key: DONE, other: None}
    control.done.clear()


def test_every_order_is_followed_up():
    assert {*verbs.WORKER_COMMANDS, *verbs.QUEUE_CONSUMPTION} <= set(
        control.worker_commands.ASPECTS
    )
    assert Worker._meta.get_field("name").max_length == Target._meta.get_field("subject").max_length
