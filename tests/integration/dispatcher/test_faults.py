"""The broker is unavailable, full or empty, or workers die: targets become due again."""

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
    """The broker refuses messages, or does not confirm them."""

    def test_all_targets_wait_again_after_a_refused_connection(self, no_broker):
        make_operation(3)

        with pytest.raises(BrokerUnreachable):
            dispatcher.sweep()

        assert set(Target.objects.values_list("state", "reason")) == {("waiting", "broker")}
        assert not Result.objects.exists()

    def test_a_broker_that_never_replies_ends_the_sweep_in_time(self, unresponsive_broker):
        make_operation(3)
        began = time.monotonic()

        with pytest.raises(BrokerUnreachable):
            dispatcher.sweep()

        assert time.monotonic() - began < 30
        assert set(Target.objects.values_list("state", flat=True)) == {"waiting"}
        assert not Result.objects.exists()

    def test_targets_wait_again_when_the_broker_refuses_writes(self, broker):
        make_operation(3)
        broker.config_set("maxmemory", 1)
        try:
            with pytest.raises(BrokerUnreachable):
                dispatcher.sweep()
        finally:
            broker.config_set("maxmemory", 0)

        assert set(Target.objects.values_list("state", "reason")) == {("waiting", "broker")}

    def test_the_next_sweep_publishes_when_the_broker_is_available_again(self, broker):
        make_operation(3)
        broker.config_set("maxmemory", 1)
        try:
            with pytest.raises(BrokerUnreachable):
                dispatcher.sweep()
        finally:
            broker.config_set("maxmemory", 0)
        assert dispatcher.sweep() == 0, "the targets are not due before the delay has passed"
        make_due()

        assert dispatcher.sweep() == 3

        assert {message.id for message in queued_messages(broker)} == {
            target.task_id for target in Target.objects.all()
        }
        assert set(Result.objects.values_list("status", flat=True)) == {"PENDING"}

    def test_a_target_claimed_before_the_failure_stays_with_its_worker(self, broker, monkeypatch):
        first, second = make_operation(2).targets.order_by("pk")

        def publish_and_claim(messages):
            assert operations.claim(messages[0].task_id, 60)
            raise BrokerUnreachable

        monkeypatch.setattr("tasks_admin.integrations.broker.publish", publish_and_claim)
        with pytest.raises(BrokerUnreachable):
            dispatcher.sweep()

        states = dict(Target.objects.values_list("pk", "state"))
        assert states == {first.pk: "running", second.pk: "waiting"}

    def test_a_target_with_an_unconfirmed_message_can_be_claimed_once(self, no_broker):
        target = make_operation(1).targets.get()
        with pytest.raises(BrokerUnreachable):
            dispatcher.sweep()
        target.refresh_from_db()

        assert operations.claim(target.task_id, 60)
        assert not operations.claim(target.task_id, 60)

    def test_a_target_that_waits_for_another_reason_cannot_be_claimed(self, db):
        target = make_target("waiting", attempt=1, reason="delayed")

        assert not operations.claim(target.task_id, 60)

    def test_progress_shows_the_unavailable_broker_for_targets_published_before(self, broker):
        target = make_target("queued", due=-1, queued_at=timezone.now())
        broker.config_set("maxmemory", 1)  # it can be read, and refuses writes
        try:
            with pytest.raises(BrokerUnreachable):
                dispatcher.sweep()
        finally:
            broker.config_set("maxmemory", 0)

        assert progress.of(target.operation).broker_unavailable

    def test_a_full_queue_does_not_stop_other_operations(self, broker, monkeypatch):
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

    def test_an_operation_finishes_while_the_broker_is_unavailable(self, no_broker):
        ended = make_operation(1, prefix="a")
        ended.targets.all().settle("done")
        make_operation(1, prefix="b")

        with pytest.raises(BrokerUnreachable):
            dispatcher.sweep()

        assert Operation.objects.get(pk=ended.pk).state == "finished"

    @pytest.mark.django_db(transaction=True)
    def test_the_dispatcher_pauses_longer_after_each_failure(self, no_broker):
        make_operation(1)

        pauses = [MIN_PAUSE]
        while pauses[-1] < MAX_PAUSE:
            make_due()
            pauses.append(Loop().round(pauses[-1]))

        assert pauses == [0.5, 1, 2, 4, 5]

    @pytest.mark.django_db(transaction=True)
    def test_the_dispatcher_pauses_briefly_after_a_successful_sweep(self, broker):
        make_operation(1)

        assert Loop().round(MAX_PAUSE) == MIN_PAUSE
        assert broker.llen("mail") == 1


class TestLost:
    """A message that no worker claimed, for example because the broker lost its data."""

    def test_the_target_is_published_again_as_a_new_attempt(self, broker):
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

    def test_not_before_the_lease_ends(self, broker):
        make_target("queued", due=5)

        assert dispatcher.sweep() == 0


class TestCrashed:
    """A worker that died, or was stopped, while it executed a target."""

    def test_an_idempotent_task_is_published_again(self, broker):
        target = make_target("running", due=-1)
        make_result("STARTED", task_id=target.task_id)

        assert dispatcher.sweep() == 1

        target.refresh_from_db()
        assert (target.state, target.attempt, target.crashes) == ("queued", 2, 1)
        assert Result.objects.get(task_id=target.task_id_of(1)).status == "REVOKED"

    def test_not_before_the_lease_ends(self, broker):
        make_target("running", due=5)

        assert dispatcher.sweep() == 0
        assert Target.objects.get().crashes == 0

    def test_a_target_that_crashes_its_worker_three_times_fails(self, broker):
        target = make_target("running", due=-1)
        for _ in range(2):
            assert dispatcher.sweep() == 1
            Target.objects.update(state="running")
            make_due()

        assert dispatcher.sweep() == 0

        target.refresh_from_db()
        assert (target.state, target.reason, target.crashes) == ("failed", "crashed", 3)
        assert Operation.objects.get().outcome_counts == {"failed": 1}

    def test_a_task_that_must_not_run_twice_ends_as_unknown(self, broker):
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
