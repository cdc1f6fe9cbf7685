"""The number of targets published at a time: the window, the rate limit and the canary."""

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


def reloaded(operation):
    return Operation.objects.get(pk=operation.pk)


def room(operation):
    return pace.room(reloaded(operation))


def advance_clock(operation, seconds):
    """Let `seconds` pass for an operation, by moving its last use of the rate to the past."""
    Operation.objects.filter(pk=operation.pk).update(
        paced_at=F("paced_at") - timedelta(seconds=seconds)
    )


def settle_some(operation, count, state="done", **fields):
    open_targets = operation.targets.filter(state__in=["waiting", "queued"]).order_by(
        "-state", "pk"
    )
    Target.objects.filter(pk__in=list(open_targets.values_list("pk", flat=True)[:count])).settle(
        state, **fields
    )


def with_rate(rate, count=3000):
    operation = make_operation(count)
    Operation.objects.update(rate=rate)
    return operation


class TestWindow:
    """In flight at most: twice the targets that finished in the last ten seconds."""

    @pytest.mark.parametrize(
        ("ended", "window", "expected"),
        [(0, 1000, 100), (49, 1000, 100), (80, 1000, 160), (80, 120, 120), (80, 7, 7), (0, 0, 0)],
    )
    def test_it_follows_the_throughput_within_bounds(self, settings, ended, window, expected):
        settings.TASKS_ADMIN_WINDOW = window
        operation = make_operation(400)
        settle_some(operation, ended)

        assert room(operation) == expected

    def test_only_recently_finished_targets_count(self):
        operation = make_operation(400)
        settle_some(operation, 80)
        Target.objects.exclude(finished_at=None).update(
            finished_at=F("finished_at") - timedelta(seconds=11)
        )

        assert room(operation) == 100

    @pytest.mark.parametrize("state", ["queued", "running"])
    def test_targets_in_flight_reduce_it(self, state):
        operation = make_operation(100)
        first = list(operation.targets.values_list("pk", flat=True)[:30])
        Target.objects.filter(pk__in=first).update(state=state)

        assert room(operation) == 70

    def test_targets_of_another_operation_do_not_count(self):
        settle_some(make_operation(200, prefix="a"), 200)

        assert room(make_operation(200, prefix="b")) == 100


class TestRate:
    """The number of targets per minute is limited, over any time, with a bounded burst."""

    @pytest.mark.parametrize("rate", [1, 7, 60, 600, 6000])
    def test_it_is_kept_within_five_percent(self, rate):
        operation = with_rate(rate, 1)
        allowed, began, pause = [], time.monotonic(), max(0.5, 20 / rate)
        for _ in range(200):
            allowed.append(room(operation))
            advance_clock(operation, pause)

        expected = rate * (pause * 200 + time.monotonic() - began) / 60
        assert abs(sum(allowed) - expected) <= max(1, expected * 0.05), (sum(allowed), expected)

    def test_a_late_sweep_catches_up(self):
        operation = with_rate(600)
        room(operation)
        advance_clock(operation, 1.5)
        began = time.monotonic()

        published = room(operation)

        assert 15 <= published <= 15 + 10 * (time.monotonic() - began) + 1

    @pytest.mark.parametrize(("rate", "burst"), [(1, 1), (20, 1), (600, 20), (3000, 100)])
    def test_after_an_outage_at_most_a_burst_is_published(self, rate, burst):
        operation = with_rate(rate)
        room(operation)
        advance_clock(operation, 3600)
        began = time.monotonic()

        assert room(operation) == burst
        assert room(operation) <= 1 + rate * (time.monotonic() - began) / 60

    def test_unclaimed_messages_are_at_most_a_burst(self, broker):
        operation = with_rate(600)
        for _ in range(10):
            dispatcher.sweep()
            advance_clock(operation, 2)

        assert broker.llen("mail") == 20
        operation.targets.filter(state="queued").update(state="running")
        assert dispatcher.sweep() == 20

    def test_a_task_that_celery_itself_retries_counts_as_claimed(self):
        operation = with_rate(30, 2)
        pk = operation.targets.values_list("pk", flat=True)[0]
        operation.targets.filter(pk=pk).update(state="queued")
        taken = {"queued_at": "2020-01-01T00:00Z", "started_at": "2020-01-01T00:01Z"}

        assert room(operation) == 0
        operation.targets.filter(state="queued").update(**taken)
        assert room(operation) == 1

    def test_only_one_of_two_dispatchers_gets_the_allowance(self):
        operation = with_rate(600)
        room(operation)
        advance_clock(operation, 1)
        one, other = reloaded(operation), reloaded(operation)

        assert [pace.room(one), pace.room(other)] == [10, 0]

    def test_a_new_rate_continues_from_the_last_publication(self):
        operation = with_rate(60)
        room(operation)
        Operation.objects.update(rate=600)
        advance_clock(operation, 1)
        assert room(operation) == 10

        Operation.objects.update(rate=60)
        advance_clock(operation, 1)
        assert room(operation) == 1

    def test_a_higher_rate_allows_at_most_a_burst(self):
        operation = with_rate(1)
        room(operation)
        advance_clock(operation, 59)
        Operation.objects.update(rate=600)

        assert room(operation) == 20

    def test_without_a_rate_limit_the_window_applies(self):
        operation = with_rate(None)

        assert room(operation) == 100
        assert reloaded(operation).paced_at is None


class TestCanary:
    """One target is published first; the others follow if it succeeds."""

    @pytest.fixture
    def operation(self, broker):
        operation = make_operation(5)
        Operation.objects.update(canary=True)
        return operation

    def test_no_other_target_is_published_before_the_canary_has_finished(self, operation, broker):
        assert [dispatcher.sweep() for _ in range(3)] == [1, 0, 0]

        operation.targets.filter(state="queued").update(state="running")
        assert dispatcher.sweep() == 0
        assert len(queued_messages(broker)) == 1

    def test_the_others_follow_when_the_canary_is_done(self, operation):
        dispatcher.sweep()
        operation.targets.filter(state="queued").settle("done")

        assert dispatcher.sweep() == 4
        assert not reloaded(operation).canary

    @pytest.mark.parametrize("state", ["failed", "unknown"])
    def test_the_operation_is_paused_with_the_reason_if_the_canary_fails(self, operation, state):
        dispatcher.sweep()
        operation.targets.filter(state="queued").settle(state, reason="refused")

        assert dispatcher.sweep() == 0

        paused = reloaded(operation)
        assert (paused.state, paused.pause_reason) == ("paused", "canary")
        assert paused.pause_explanation == "the canary failed"
        assert operation.counts() == {state: 1, "waiting": 4}

    @pytest.mark.parametrize("state", ["skipped", "cancelled"])
    def test_a_canary_that_was_not_executed_is_followed_by_another(self, operation, state):
        dispatcher.sweep()
        operation.targets.filter(state="queued").settle(state)

        assert [dispatcher.sweep() for _ in range(2)] == [1, 0]

    def test_a_canary_that_is_retried_stays_the_only_one(self, operation, broker):
        dispatcher.sweep()
        first = operation.targets.get(state="queued")
        operation.targets.filter(pk=first.pk).requeue(60, reason="delayed")
        assert dispatcher.sweep() == 0

        operation.targets.filter(pk=first.pk).update(due_at="2020-01-01T00:00Z")
        assert dispatcher.sweep() == 1
        assert {message.args[0] for message in queued_messages(broker)} == {int(first.subject)}

    def test_resuming_after_a_failed_canary_continues_without_one(self, operation, alice):
        dispatcher.sweep()
        operation.targets.filter(state="queued").settle("failed")
        dispatcher.sweep()

        operations.resume(operation=reloaded(operation), actor=alice, reason="never mind")

        assert dispatcher.sweep() == 4
        assert (reloaded(operation).pause_reason, reloaded(operation).pause_explanation) == ("", "")

    def test_pausing_and_resuming_by_hand_keeps_the_canary(self, operation, alice):
        dispatcher.sweep()
        operations.pause(operation=operation, actor=alice, reason="r")
        operations.resume(operation=operation, actor=alice, reason="r")

        assert dispatcher.sweep() == 0
        assert reloaded(operation).canary

    def test_two_dispatchers_publish_one_canary(self, operation):
        one, other = reloaded(operation), reloaded(operation)

        assert [len(publishing._take(each, 1)) for each in (one, other)] == [1, 0]


def test_only_a_running_operation_is_paused_automatically(alice):
    operation = make_operation(1)
    operations.abort(operation=operation, actor=alice, reason="r")

    pace.auto_pause(operation, "canary")

    assert (reloaded(operation).state, reloaded(operation).pause_reason) == ("aborted", "")
