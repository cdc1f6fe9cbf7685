"""How much is published at a time: a window that follows the work, a rate, and one first."""

import time
from datetime import timedelta

import pytest
from django.db.models import F

from tasks_admin import dispatcher, operations
from tasks_admin.dispatcher import publishing
from tasks_admin.models import Operation, Target
from tasks_admin.operations import pace
from tests.support.factories import make_operation, queued_messages

pytestmark = pytest.mark.django_db


def again(operation):
    return Operation.objects.get(pk=operation.pk)


def room(operation):
    return pace.room(again(operation))


def let_pass(operation, seconds):
    """Move the clock on: for an operation, that is to have used its allowance earlier."""
    Operation.objects.filter(pk=operation.pk).update(
        paced_at=F("paced_at") - timedelta(seconds=seconds)
    )


def end(operation, count, state="done", **fields):
    some = operation.targets.filter(state__in=["waiting", "queued"]).order_by("-state", "pk")
    Target.objects.filter(pk__in=list(some.values_list("pk", flat=True)[:count])).settle(
        state, **fields
    )


def with_rate(rate, count=3000):
    operation = make_operation(count)
    Operation.objects.update(rate=rate)
    return operation


class TestWindow:
    """In flight at most: twice what workers did in the last ten seconds."""

    @pytest.mark.parametrize(
        ("ended", "window", "expected"),
        [(0, 1000, 100), (49, 1000, 100), (80, 1000, 160), (80, 120, 120), (80, 7, 7), (0, 0, 0)],
    )
    def test_it_follows_what_ended_within_bounds(self, settings, ended, window, expected):
        settings.TASKS_ADMIN_WINDOW = window
        operation = make_operation(400)
        end(operation, ended)

        assert room(operation) == expected

    def test_what_ended_a_while_ago_counts_no_more(self):
        operation = make_operation(400)
        end(operation, 80)
        Target.objects.exclude(finished_at=None).update(
            finished_at=F("finished_at") - timedelta(seconds=11)
        )

        assert room(operation) == 100

    @pytest.mark.parametrize("state", ["queued", "running"])
    def test_what_is_in_flight_takes_room(self, state):
        operation = make_operation(100)
        first = list(operation.targets.values_list("pk", flat=True)[:30])
        Target.objects.filter(pk__in=first).update(state=state)

        assert room(operation) == 70

    def test_what_another_operation_did_does_not_count(self):
        end(make_operation(200, prefix="a"), 200)

        assert room(make_operation(200, prefix="b")) == 100


class TestRate:
    """So many a minute, over any time, and never many at once."""

    @pytest.mark.parametrize("rate", [1, 7, 60, 600, 6000])
    def test_it_is_kept_within_five_percent(self, rate):
        operation = with_rate(rate, 1)
        allowed, began, pause = [], time.monotonic(), max(0.5, 20 / rate)
        for _ in range(200):
            allowed.append(room(operation))
            let_pass(operation, pause)

        expected = rate * (pause * 200 + time.monotonic() - began) / 60
        assert abs(sum(allowed) - expected) <= max(1, expected * 0.05), (sum(allowed), expected)

    def test_a_round_now_and_then_is_made_up_for(self):
        operation = with_rate(600)
        room(operation)
        let_pass(operation, 1.5)

        assert room(operation) == 15

    @pytest.mark.parametrize(("rate", "burst"), [(1, 1), (20, 1), (600, 20), (3000, 100)])
    def test_after_an_absence_no_more_than_a_burst_goes_out(self, rate, burst):
        operation = with_rate(rate)
        room(operation)
        let_pass(operation, 3600)

        assert room(operation) == burst
        assert room(operation) <= 1

    def test_what_workers_did_not_take_is_no_more_than_a_burst(self, broker):
        operation = with_rate(600)
        for _ in range(10):
            dispatcher.sweep()
            let_pass(operation, 2)

        assert broker.llen("mail") == 20
        operation.targets.filter(state="queued").update(state="running")
        assert dispatcher.sweep() == 20

    def test_a_task_that_celery_itself_runs_again_was_taken(self):
        operation = with_rate(30, 2)
        pk = operation.targets.values_list("pk", flat=True)[0]
        operation.targets.filter(pk=pk).update(state="queued")
        taken = {"queued_at": "2020-01-01T00:00Z", "started_at": "2020-01-01T00:01Z"}

        assert room(operation) == 0
        operation.targets.filter(state="queued").update(**taken)
        assert room(operation) == 1

    def test_of_two_dispatchers_that_ask_one_gets_it(self):
        operation = with_rate(600)
        room(operation)
        let_pass(operation, 1)
        one, other = again(operation), again(operation)

        assert [pace.room(one), pace.room(other)] == [10, 0]

    def test_another_rate_counts_from_where_the_old_one_was(self):
        operation = with_rate(60)
        room(operation)
        Operation.objects.update(rate=600)
        let_pass(operation, 1)
        assert room(operation) == 10

        Operation.objects.update(rate=60)
        let_pass(operation, 1)
        assert room(operation) == 1

    def test_from_slow_to_fast_gives_no_more_than_a_burst(self):
        operation = with_rate(1)
        room(operation)
        let_pass(operation, 59)
        Operation.objects.update(rate=600)

        assert room(operation) == 20

    def test_without_a_rate_the_window_decides(self):
        operation = with_rate(None)

        assert room(operation) == 100
        assert again(operation).paced_at is None


class TestCanary:
    """One goes first; the others follow when it is done."""

    @pytest.fixture
    def operation(self, broker):
        operation = make_operation(5)
        Operation.objects.update(canary=True)
        return operation

    def test_one_goes_first_and_no_other_before_it_ended(self, operation, broker):
        assert [dispatcher.sweep() for _ in range(3)] == [1, 0, 0]

        operation.targets.filter(state="queued").update(state="running")
        assert dispatcher.sweep() == 0
        assert len(queued_messages(broker)) == 1

    def test_when_it_is_done_the_others_follow(self, operation):
        dispatcher.sweep()
        operation.targets.filter(state="queued").settle("done")

        assert dispatcher.sweep() == 4
        assert not again(operation).canary

    @pytest.mark.parametrize("state", ["failed", "unknown"])
    def test_when_it_did_not_succeed_the_operation_is_paused_and_says_why(self, operation, state):
        dispatcher.sweep()
        operation.targets.filter(state="queued").settle(state, reason="refused")

        assert dispatcher.sweep() == 0

        paused = again(operation)
        assert (paused.state, paused.pause_reason) == ("paused", "canary")
        assert paused.pause_explanation == "the canary failed"
        assert operation.counts() == {state: 1, "waiting": 4}

    @pytest.mark.parametrize("state", ["skipped", "cancelled"])
    def test_one_that_was_not_tried_proves_nothing(self, operation, state):
        dispatcher.sweep()
        operation.targets.filter(state="queued").settle(state)

        assert [dispatcher.sweep() for _ in range(2)] == [1, 0]

    def test_one_that_is_tried_again_stays_the_only_one(self, operation, broker):
        dispatcher.sweep()
        first = operation.targets.get(state="queued")
        operation.targets.filter(pk=first.pk).requeue(60, reason="delayed")
        assert dispatcher.sweep() == 0

        operation.targets.filter(pk=first.pk).update(due_at="2020-01-01T00:00Z")
        assert dispatcher.sweep() == 1
        assert {message.args[0] for message in queued_messages(broker)} == {int(first.subject)}

    def test_who_resumes_after_it_failed_goes_on_without(self, operation, alice):
        dispatcher.sweep()
        operation.targets.filter(state="queued").settle("failed")
        dispatcher.sweep()

        operations.resume(operation=again(operation), actor=alice, reason="never mind")

        assert dispatcher.sweep() == 4
        assert (again(operation).pause_reason, again(operation).pause_explanation) == ("", "")

    def test_who_pauses_and_resumes_by_hand_keeps_it(self, operation, alice):
        dispatcher.sweep()
        operations.pause(operation=operation, actor=alice, reason="r")
        operations.resume(operation=operation, actor=alice, reason="r")

        assert dispatcher.sweep() == 0
        assert again(operation).canary

    def test_two_dispatchers_agree_on_which_one(self, operation):
        one, other = again(operation), again(operation)

        assert [len(publishing._take(each, 1)) for each in (one, other)] == [1, 0]


def test_the_console_pauses_only_what_runs(alice):
    operation = make_operation(1)
    operations.abort(operation=operation, actor=alice, reason="r")

    pace.auto_pause(operation, "canary")

    assert (again(operation).state, again(operation).pause_reason) == ("aborted", "")
