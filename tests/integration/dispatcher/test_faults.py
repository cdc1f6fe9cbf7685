"""The broker is refused, frozen or empty; workers die: what is due comes back by itself."""

import time

import pytest
from django.utils import timezone

from tasks_admin import dispatcher, operations
from tasks_admin.dispatcher import publishing
from tasks_admin.dispatcher.loop import MAX_PAUSE, MIN_PAUSE, Loop
from tasks_admin.lib.errors import BrokerUnreachable, QueueFull
from tasks_admin.models import Operation, Result, Target
from tasks_admin.operations import progress
from tests.support.factories import make_operation, make_result, make_target, queued_messages

pytestmark = pytest.mark.django_db


def make_due():
    Target.objects.update(due_at="2020-01-01T00:00Z")


class TestBroker:
    """A broker that does not take the messages, or does not say so."""

    def test_refused_everything_waits_again(self, no_broker):
        make_operation(3)

        with pytest.raises(BrokerUnreachable):
            dispatcher.sweep()

        assert set(Target.objects.values_list("state", "reason")) == {("waiting", "broker")}
        assert not Result.objects.exists()

    def test_one_that_never_answers_is_left_in_time(self, unresponsive_broker):
        make_operation(3)
        began = time.monotonic()

        with pytest.raises(BrokerUnreachable):
            dispatcher.sweep()

        assert time.monotonic() - began < 30
        assert set(Target.objects.values_list("state", flat=True)) == {"waiting"}
        assert not Result.objects.exists()

    def test_one_that_refuses_writes_is_told_from_one_that_takes_them(self, broker):
        make_operation(3)
        broker.config_set("maxmemory", 1)
        try:
            with pytest.raises(BrokerUnreachable):
                dispatcher.sweep()
        finally:
            broker.config_set("maxmemory", 0)

        assert set(Target.objects.values_list("state", "reason")) == {("waiting", "broker")}

    def test_back_again_the_next_sweep_delivers(self, broker):
        make_operation(3)
        broker.config_set("maxmemory", 1)
        try:
            with pytest.raises(BrokerUnreachable):
                dispatcher.sweep()
        finally:
            broker.config_set("maxmemory", 0)
        assert dispatcher.sweep() == 0, "not before the pause is over"
        make_due()

        assert dispatcher.sweep() == 3

        assert {message.id for message in queued_messages(broker)} == {
            target.task_id for target in Target.objects.all()
        }
        assert set(Result.objects.values_list("status", flat=True)) == {"PENDING"}

    def test_what_a_worker_took_before_the_broker_failed_is_left_to_it(self, broker, monkeypatch):
        first, second = make_operation(2).targets.order_by("pk")

        def and_taken(messages):
            assert operations.claim(messages[0].task_id, 60)
            raise BrokerUnreachable

        monkeypatch.setattr("tasks_admin.integrations.broker.publish", and_taken)
        with pytest.raises(BrokerUnreachable):
            dispatcher.sweep()

        states = dict(Target.objects.values_list("pk", "state"))
        assert states == {first.pk: "running", second.pk: "waiting"}

    def test_what_was_queued_unconfirmed_may_be_taken(self, no_broker):
        target = make_operation(1).targets.get()
        with pytest.raises(BrokerUnreachable):
            dispatcher.sweep()
        target.refresh_from_db()

        assert operations.claim(target.task_id, 60)
        assert not operations.claim(target.task_id, 60)

    def test_what_waits_for_another_reason_may_not(self, db):
        target = make_target("waiting", attempt=1, reason="delayed")

        assert not operations.claim(target.task_id, 60)

    def test_the_page_goes_on_saying_so_of_what_was_published_before(self, broker):
        target = make_target("queued", due=-1, queued_at=timezone.now())
        broker.config_set("maxmemory", 1)  # a broker that can be asked, and takes nothing
        try:
            with pytest.raises(BrokerUnreachable):
                dispatcher.sweep()
        finally:
            broker.config_set("maxmemory", 0)

        assert progress.of(target.operation).broker_unavailable

    def test_a_full_queue_does_not_stop_the_others(self, broker, monkeypatch):
        full, other = make_operation(1, prefix="a"), make_operation(1, prefix="b")
        publish = publishing.broker.publish

        def refuse(messages):
            if messages[0].task_id.startswith(str(full.key)):
                raise QueueFull
            publish(messages)

        monkeypatch.setattr("tasks_admin.integrations.broker.publish", refuse)
        with pytest.raises(QueueFull):
            dispatcher.sweep()

        assert [m.id for m in queued_messages(broker)] == [other.targets.get().task_id]

    def test_what_has_ended_is_brought_to_its_end_all_the_same(self, no_broker):
        ended = make_operation(1, prefix="a")
        ended.targets.all().settle("done")
        make_operation(1, prefix="b")

        with pytest.raises(BrokerUnreachable):
            dispatcher.sweep()

        assert Operation.objects.get(pk=ended.pk).state == "finished"

    @pytest.mark.django_db(transaction=True)
    def test_the_command_waits_longer_each_time(self, no_broker):
        make_operation(1)

        pauses = [MIN_PAUSE]
        while pauses[-1] < MAX_PAUSE:
            make_due()
            pauses.append(Loop().round(pauses[-1]))

        assert pauses == [0.5, 1, 2, 4, 5]

    @pytest.mark.django_db(transaction=True)
    def test_the_command_is_quick_when_all_is_well(self, broker):
        make_operation(1)

        assert Loop().round(MAX_PAUSE) == MIN_PAUSE
        assert broker.llen("mail") == 1


class TestLost:
    """A message that nobody claimed, as after a broker came back empty."""

    def test_it_is_issued_again_under_a_new_number(self, broker):
        target = make_target("queued", due=-1)
        make_result("PENDING", task_id=target.task_id)

        assert dispatcher.sweep() == 1

        (message,) = queued_messages(broker)
        target.refresh_from_db()
        assert (target.state, target.attempt, target.crashes) == ("queued", 2, 0)
        assert message.id == target.task_id
        assert dict(Result.objects.values_list("task_id", "status")) == {
            target.task_id_of(1): "REVOKED",
            target.task_id_of(2): "PENDING",
        }

    def test_not_before_its_lease_is_over(self, broker):
        make_target("queued", due=5)

        assert dispatcher.sweep() == 0


class TestDead:
    """A worker that ended, or froze, while it ran a target."""

    def test_what_may_run_again_does(self, broker):
        target = make_target("running", due=-1)
        make_result("STARTED", task_id=target.task_id)

        assert dispatcher.sweep() == 1

        target.refresh_from_db()
        assert (target.state, target.attempt, target.crashes) == ("queued", 2, 1)
        assert Result.objects.get(task_id=target.task_id_of(1)).status == "REVOKED"

    def test_not_before_its_lease_is_over(self, broker):
        make_target("running", due=5)

        assert dispatcher.sweep() == 0
        assert Target.objects.get().crashes == 0

    def test_what_kills_its_process_each_time_is_given_up(self, broker):
        target = make_target("running", due=-1)
        for _ in range(2):
            assert dispatcher.sweep() == 1
            Target.objects.update(state="running")
            make_due()

        assert dispatcher.sweep() == 0

        target.refresh_from_db()
        assert (target.state, target.reason, target.crashes) == ("failed", "crashed", 3)
        assert Operation.objects.get().outcome_counts == {"failed": 1}

    def test_a_task_that_may_not_run_twice_ends_as_unknown(self, broker):
        target = make_target("running", due=-1, subject="old", lock_key="result:old")
        Operation.objects.update(verb="retry_failed")
        make_result(task_id="old", task="tests.once")
        make_result("STARTED", task_id=target.task_id)

        assert dispatcher.sweep() == 0

        target.refresh_from_db()
        assert (target.state, target.reason, target.lock_key) == (
            "unknown",
            "worker_died",
            "result:old",
        )
        assert Result.objects.get(task_id=target.task_id).status == "STARTED"
