"""What was published and is not run: told from what waits its turn, and issued again."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db.models import F
from django.utils import timezone

from tasks_admin import accounts, dispatcher, operations
from tasks_admin.dispatcher import recovery
from tasks_admin.lib.errors import WrongState
from tasks_admin.models import Operation, Queue, Result, Target
from tasks_admin.operations import Confirmation
from tasks_admin.results import retry_failed
from tests.conftest import grant
from tests.support.factories import make_operation, make_result, make_target, queued_messages
from tests.support.pages import page_text

pytestmark = pytest.mark.django_db


def ago(seconds):
    return timezone.now() - timedelta(seconds=seconds)


def published(operation, *, seconds, count=1, **fields):
    """Targets of the operation that were published so long ago, and whose lease is over."""
    waiting = operation.targets.filter(state="waiting").order_by("pk")
    rows = Target.objects.filter(pk__in=list(waiting.values_list("pk", flat=True)[:count]))
    rows.update(
        **{"state": "queued", "attempt": 1, "queued_at": ago(seconds), "due_at": ago(1)} | fields
    )
    return list(rows.select_related("operation"))


def taken(operation, *, seconds, **fields):
    """A target that was published so long ago, and that a worker runs."""
    return published(
        operation, seconds=seconds,
        **{"state": "running", "started_at": ago(1), "due_at": ago(-60)} | fields,
    )  # fmt: skip


def others_wait(broker, queue="mail"):
    """Somebody's messages are in the queue."""
    broker.rpush(queue, '{"body": "e30=", "properties": {}, "headers": {}}')


def lost(operation):
    return {target.pk for target in recovery.lost(operation)}


def pks(targets):
    return {target.pk for target in targets}


class TestLost:
    """A queue is served in order."""

    @pytest.fixture
    def operation(self, broker):
        others_wait(broker)
        return make_operation(6)

    def test_what_a_later_one_overtook_is_lost(self, operation):
        overtaken = published(operation, seconds=40)
        taken(operation, seconds=30)

        assert lost(operation) == pks(overtaken)

    def test_also_when_the_later_one_has_ended_already(self, operation):
        overtaken = published(operation, seconds=40)
        taken(operation, seconds=30, state="done", finished_at=ago(5))

        assert lost(operation) == pks(overtaken)

    def test_what_was_published_at_nearly_the_same_time_is_not(self, operation):
        published(operation, seconds=33)
        taken(operation, seconds=30)

        assert lost(operation) == set()

    def test_what_is_later_than_all_that_were_taken_waits_its_turn(self, operation):
        taken(operation, seconds=60)
        (waits,) = published(operation, seconds=30)

        assert lost(operation) == set()

        waits.refresh_from_db()
        left = (waits.due_at - timezone.now()).total_seconds()
        assert (waits.state, waits.attempt) == ("queued", 1)
        assert 5 < left <= 10, "looked into again then"

    def test_what_was_tried_and_published_anew_was_not_taken_since(self, operation):
        published(operation, seconds=40)
        taken(operation, seconds=30, state="queued", started_at=ago(50), due_at=ago(-60))

        assert lost(operation) == set()

    def test_in_an_empty_queue_nothing_waits(self, operation, broker):
        overdue = published(operation, seconds=30, count=3)
        broker.delete("mail")

        assert lost(operation) == pks(overdue)

    def test_what_is_ancient_is_lost_whatever_the_queue_holds(self, operation, settings):
        published(operation, seconds=899)
        ancient = published(operation, seconds=901)
        unknown = published(operation, seconds=0, queued_at=None)

        assert lost(operation) == pks(ancient + unknown)

    def test_what_lies_in_a_paused_queue_is_not(self, operation, broker):
        """However long, and whatever the queue is said to hold."""
        Queue.objects.set_paused("mail", True, revision=1)
        waiting = published(operation, seconds=9000)
        broker.delete("mail")

        assert lost(operation) == set()
        assert operation.targets.filter(pk__in=pks(waiting), due_at__gt=ago(0)).count() == 1

    def test_whose_lease_goes_on_is_not_looked_into(self, operation, broker):
        published(operation, seconds=30, due_at=ago(-5))
        broker.delete("mail")

        assert lost(operation) == set()

    def test_a_sweep_issues_it_again_under_a_new_number(self, operation, broker):
        (overtaken,) = published(operation, seconds=40)
        make_result("PENDING", task_id=overtaken.task_id)
        taken(operation, seconds=30)
        operation.targets.filter(state="waiting").settle("skipped")

        assert dispatcher.sweep() == 1

        overtaken.refresh_from_db()
        assert (overtaken.state, overtaken.attempt) == ("queued", 2)
        assert overtaken.queued_at > ago(5)
        assert Result.objects.get(task_id=overtaken.task_id_of(1)).status == "REVOKED"
        assert not operations.claim(overtaken.task_id_of(1), 60), "should it turn up after all"
        assert operations.claim(overtaken.task_id, 60)

    def test_nothing_is_asked_of_the_broker_while_nothing_is_overdue(self, no_broker):
        operation = make_operation(2)
        taken(operation, seconds=30)
        published(operation, seconds=5, due_at=ago(-15))

        assert lost(operation) == set()


class TestQueues:
    """The queues of a retry are independent of each other."""

    @pytest.fixture
    def operation(self, broker, alice):
        for queue in ("mail", "slow", "slow"):
            make_result(queue=queue, task_id=f"{queue}-{Result.objects.count()}")
        return retry_failed(
            results=Result.objects.all(), confirmation=Confirmation(actor=alice, reason="r")
        )

    def of(self, operation, queue, number=0):
        found = operation.targets.filter(subject__startswith=queue).order_by("subject")[number]
        return Target.objects.filter(pk=found.pk)

    def in_flight(self, rows, seconds, **fields):
        rows.update(
            **{"state": "queued", "attempt": 1, "queued_at": ago(seconds), "due_at": ago(1)}
            | fields
        )

    def test_what_was_taken_from_one_says_nothing_of_the_other(self, operation, broker):
        others_wait(broker, "slow")
        self.in_flight(self.of(operation, "slow"), 40)
        runs = {"state": "running", "started_at": ago(1), "due_at": ago(-60)}
        self.in_flight(self.of(operation, "mail"), 30, **runs)
        assert lost(operation) == set()

        self.of(operation, "slow").update(due_at=ago(1))
        self.in_flight(self.of(operation, "slow", 1), 30, **runs)
        assert lost(operation) == pks(self.of(operation, "slow"))

    def test_an_empty_one_is_told_from_a_full_one(self, operation, broker):
        others_wait(broker, "slow")
        self.in_flight(self.of(operation, "slow"), 30)
        self.in_flight(self.of(operation, "mail"), 30)

        assert lost(operation) == pks(self.of(operation, "mail"))

    def test_whose_result_is_gone_waits_until_it_is_ancient(self, operation, broker):
        self.in_flight(self.of(operation, "mail"), 30)
        Result.objects.all().delete()

        assert lost(operation) == set()


class TestActor:
    """Who started it must still be allowed to when it goes out."""

    @pytest.fixture
    def operation(self, broker, bob):
        return make_operation(2, actor=bob)

    def take_away(self, bob):
        bob.user_permissions.clear()
        return User.objects.get(pk=bob.pk)

    def test_it_is_paused_and_says_why(self, operation, bob, as_user, alice):
        self.take_away(bob)

        assert dispatcher.sweep() == 0

        operation.refresh_from_db()
        assert (operation.state, operation.pause_reason) == ("paused", "actor")
        page = page_text(as_user(alice).get(operation.get_absolute_url()))
        assert "Paused automatically: the user who started the operation" in page
        assert "Grant the permission again" in page

    def test_whose_account_is_closed_or_gone(self, operation, bob):
        bob.delete()

        dispatcher.sweep()

        assert Operation.objects.get(pk=operation.pk).pause_reason == "actor"

    def test_it_can_not_be_resumed_without_the_permission(self, operation, bob, alice):
        self.take_away(bob)
        dispatcher.sweep()
        operation.refresh_from_db()

        with pytest.raises(WrongState, match="no longer has the permission"):
            operations.resume(operation=operation, actor=alice, reason="r")

        assert Operation.objects.get(pk=operation.pk).state == "paused"
        operations.abort(operation=operation, actor=alice, reason="r")
        assert operation.counts() == {"cancelled": 2}

    def test_with_the_permission_back_it_goes_on(self, operation, bob, alice, broker):
        self.take_away(bob)
        dispatcher.sweep()
        grant(bob, "tasks_admin.send_reset_email")
        operation = Operation.objects.get(pk=operation.pk)

        operations.resume(operation=operation, actor=alice, reason="r")

        assert dispatcher.sweep() == 2
        assert Operation.objects.get(pk=operation.pk).pause_reason == ""

    def test_a_request_of_a_user_needs_no_permission(self, broker, bob):
        users = User.objects.filter(pk=bob.pk)
        accounts.request_reset_emails(users=users, actor=self.take_away(bob))

        assert dispatcher.sweep() == 1


class TestTroubles:
    """One operation's trouble is not the others'."""

    def test_what_nobody_foresaw_stops_one_operation_only(self, broker, alice, caplog):
        make_result(queue="\ud800")  # no broker has a queue of this name
        broken = retry_failed(
            results=Result.objects.all(), confirmation=Confirmation(actor=alice, reason="r")
        )
        make_operation(2)

        assert dispatcher.sweep() == 2

        assert f"could not serve operation {broken.pk}." in caplog.text
        assert len(queued_messages(broker)) == 2

    def test_nothing_to_do_costs_nothing(self, broker, django_assert_num_queries):
        for number in range(5):
            make_operation(1, prefix=f"p{number}")
        dispatcher.sweep()

        with django_assert_num_queries(2):
            assert dispatcher.sweep() == 0

    def test_what_is_paused_still_gets_back_what_died(self, broker, alice):
        target = make_target("running", due=-1)
        operations.pause(operation=target.operation, actor=alice, reason="r")

        dispatcher.sweep()

        target.refresh_from_db()
        assert (target.state, target.crashes) == ("waiting", 1)
        assert target.due_at <= timezone.now() + timedelta(seconds=1)

    def test_what_died_once_too_often_failed_and_can_be_retried(self, broker, settings):
        settings.TASKS_ADMIN_MAX_CRASHES = 1
        target = make_target("running", due=-1, started_at=F("due_at"))
        make_result("STARTED", task_id=target.task_id)

        dispatcher.sweep()

        target.refresh_from_db()
        assert (target.state, target.reason) == ("failed", "crashed")
        row = Result.objects.get()
        assert (row.status, "WorkerLostError" in row.result) == ("FAILURE", True)
