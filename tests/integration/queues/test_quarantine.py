"""Quarantine: purged messages are stored, restored, and deleted when they expire."""

from datetime import timedelta

import pytest
from django.utils import timezone

from tasks_admin import dispatcher, operations, queues
from tasks_admin.integrations import broker as broker_api
from tasks_admin.lib.errors import NotAllowed, WrongState
from tasks_admin.models import Operation, QuarantinedMessage, Result, Target
from tasks_admin.queues import quarantine
from tests.support.factories import make_operation, make_result, make_users

pytestmark = pytest.mark.django_db


def publish(count, queue="mail"):
    broker_api.publish(
        [
            broker_api.Message(task_id=f"t{n}", task="tests.t", args=[n], queue=queue)
            for n in range(count)
        ]
    )


def waiting(queue="mail"):
    return broker_api.depths([queue]).queues[queue].waiting


def purge(actor, name="mail"):
    operation = queues.purge(name=name, actor=actor, reason="r")
    dispatcher.sweep()
    return Operation.objects.get(pk=operation.pk)


def restore(operation, actor):
    done = queues.restore(operation=operation, actor=actor, reason="r")
    dispatcher.sweep()
    return Operation.objects.get(pk=done.pk)


def test_purge_request_does_not_use_the_broker(no_broker, alice):
    operation = queues.purge(name="mail", actor=alice, reason="r")

    assert operation.state == "running"


def test_purge_and_restore(broker, alice):
    publish(450)
    before = broker.lrange("mail", 0, -1)

    purged = purge(alice)

    assert purged.state == "finished"
    assert (purged.targets.get().state, purged.targets.get().detail) == ("done", "450")
    assert waiting() == 0
    assert QuarantinedMessage.objects.count() == 450
    assert [(purge.operation, purge.restorable) for purge in queues.purges("mail")] == [
        (purged, 450)
    ]

    restored = restore(purged, alice)

    assert restored.parent == purged
    assert restored.targets.get().detail == "450"
    assert broker.lrange("mail", 0, -1) == before
    assert not QuarantinedMessage.objects.exists()
    assert queues.purges("mail") == []


def test_empty_queue(broker, alice):
    assert purge(alice).targets.get().detail == "0"


def test_nothing_is_restored_twice(broker, alice):
    publish(3)
    purged = purge(alice)
    restore(purged, alice)

    with pytest.raises(WrongState, match="no messages to restore"):
        queues.restore(operation=purged, actor=alice, reason="r")


def test_one_restore_at_a_time(broker, alice):
    publish(3)
    purged = purge(alice)
    queues.restore(operation=purged, actor=alice, reason="r")

    with pytest.raises(WrongState, match="already"):
        queues.restore(operation=purged, actor=alice, reason="r")


def test_only_a_purge_can_be_restored(broker, alice):
    with pytest.raises(WrongState):
        queues.restore(operation=make_operation(), actor=alice, reason="r")


@pytest.mark.parametrize("name", ["", "unknown", "a\x00b"])
def test_unknown_queue(broker, alice, name):
    with pytest.raises(WrongState, match="unknown queue"):
        queues.purge(name=name, actor=alice, reason="r")


@pytest.mark.parametrize("action", [queues.pause, queues.resume, queues.purge, queues.peek])
def test_missing_permission(broker, charlie, action):
    with pytest.raises(NotAllowed):
        action(name="mail", actor=charlie, reason="r")
    assert not Operation.objects.exists()


@pytest.mark.parametrize("verb", ["pause", "abort"])
def test_purge_cannot_be_interrupted(broker, alice, verb):
    operation = queues.purge(name="mail", actor=alice, reason="r")

    assert not operations.is_applicable(operation, verb)
    with pytest.raises(WrongState, match="does not support this"):
        getattr(operations, verb)(operation=operation, actor=alice, reason="r")


def test_invalid_messages_are_restored_unchanged(broker, alice):
    for raw in (b"\xff\x00", b"{}", b'{"headers": {"id": "a\\u0000b", "task": ["x"]}}'):
        broker.lpush("mail", raw)
    before = broker.lrange("mail", 0, -1)

    restore(purge(alice), alice)

    assert broker.lrange("mail", 0, -1) == before


class TestTargets:
    """The targets of purged messages wait, and are not published again."""

    @pytest.fixture
    def purged(self, broker, alice):
        self.operation = make_operation(3, actor=alice)
        dispatcher.sweep()
        assert waiting() == 3
        return purge(alice)

    def test_targets_wait(self, purged):
        assert {(t.state, t.reason) for t in self.operation.targets.all()} == {
            ("queued", "quarantined")
        }
        assert not self.operation.targets.due().exists()

    def test_targets_continue_after_a_restore(self, purged, alice):
        restore(purged, alice)

        targets = self.operation.targets.all()
        assert {(t.state, t.reason) for t in targets} == {("queued", "")}
        assert waiting() == 3
        assert all(t.due_at < timezone.now() + timedelta(minutes=5) for t in targets)

    def test_targets_can_be_aborted(self, purged, alice):
        operations.abort(operation=self.operation, actor=alice, reason="r")

        assert {t.state for t in self.operation.targets.all()} == {"cancelled"}

    def test_targets_are_cancelled_when_the_messages_expire(self, purged, settings):
        settings.TASKS_ADMIN_QUARANTINE_EXPIRES_DAYS = 0

        assert quarantine.delete_expired() == 3

        states = {(t.state, t.reason) for t in self.operation.targets.all()}
        assert states == {("cancelled", "purged")}


def test_purged_task_is_not_lost(broker, alice, monkeypatch):
    from tasks_admin.integrations import control
    from tasks_admin.results import lost

    row = make_result("PENDING", task_id="t0", queue="mail")
    Result.objects.update(date_created=timezone.now() - timedelta(days=1))
    publish(1)
    purge(alice)
    monkeypatch.setattr(control, "held_task_ids", lambda ids: set())

    assert lost.Scanner().scan_next() == 0
    assert Result.objects.get(pk=row.pk).status == "PENDING"


def test_purge_continues_after_a_broker_outage(broker, alice):
    from tasks_admin.lib.errors import BrokerUnreachable
    from tests.conftest import broker_at
    from tests.support.ports import free_port

    publish(3)
    operation = queues.purge(name="mail", actor=alice, reason="r")
    with broker_at(f"redis://127.0.0.1:{free_port()}/0"), pytest.raises(BrokerUnreachable):
        dispatcher.sweep()
    assert operation.targets.get().reason == "broker"

    Target.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    dispatcher.sweep()

    assert operation.targets.get().detail == "3"


def test_purge_continues_when_the_actor_is_deleted(broker, alice):
    publish(3)
    operation = queues.purge(name="mail", actor=alice, reason="r")
    alice.delete()

    dispatcher.sweep()

    assert operation.targets.get().state == "done"


def test_purge_of_another_queue(broker, alice):
    make_users(1, "other")
    publish(2, queue="celery")

    purge(alice, name="celery")

    assert Operation.objects.get(verb="purge_queue").state == "finished"
