"""Lost targets are distinguished from waiting ones, and published again."""

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
    """Targets of the operation that were published `seconds` ago, and whose lease has ended."""
    waiting = operation.targets.filter(state="waiting").order_by("pk")
    rows = Target.objects.filter(pk__in=list(waiting.values_list("pk", flat=True)[:count]))
    rows.update(
        **{"state": "queued", "attempt": 1, "queued_at": ago(seconds), "due_at": ago(1)} | fields
    )
    return list(rows.select_related("operation"))


def claimed(operation, *, seconds, **fields):
    """A target that was published `seconds` ago, and that a worker executes."""
    return published(
        operation, seconds=seconds,
        **{"state": "running", "started_at": ago(1), "due_at": ago(-60)} | fields,
    )  # fmt: skip


def add_foreign_message(broker, queue="mail"):
    """Put a message of another program into the queue."""
    broker.rpush(queue, '{"body": "e30=", "properties": {}, "headers": {}}')


def lost(operation):
    return {target.pk for target in recovery.lost(operation)}


def pks(targets):
    return {target.pk for target in targets}


class TestLost:
    """Workers consume a queue in order, so a target that a later one overtook is lost."""

    @pytest.fixture
    def operation(self, broker):
        add_foreign_message(broker)
        return make_operation(6)

    def test_a_target_overtaken_by_a_later_one_is_lost(self, operation):
        overtaken = published(operation, seconds=40)
        claimed(operation, seconds=30)

        assert lost(operation) == pks(overtaken)

    def test_also_when_the_later_one_has_finished(self, operation):
        overtaken = published(operation, seconds=40)
        claimed(operation, seconds=30, state="done", finished_at=ago(5))

        assert lost(operation) == pks(overtaken)

    def test_targets_published_at_nearly_the_same_time_are_not_lost(self, operation):
        published(operation, seconds=33)
        claimed(operation, seconds=30)

        assert lost(operation) == set()

    def test_a_target_published_after_all_claimed_ones_still_waits(self, operation):
        claimed(operation, seconds=60)
        (waits,) = published(operation, seconds=30)

        assert lost(operation) == set()

        waits.refresh_from_db()
        left = (waits.due_at - timezone.now()).total_seconds()
        assert (waits.state, waits.attempt) == ("queued", 1)
        assert 5 < left <= 10, "the dispatcher checks it again then"

    def test_a_target_published_again_does_not_count_as_claimed(self, operation):
        published(operation, seconds=40)
        claimed(operation, seconds=30, state="queued", started_at=ago(50), due_at=ago(-60))

        assert lost(operation) == set()

    def test_all_overdue_targets_of_an_empty_queue_are_lost(self, operation, broker):
        overdue = published(operation, seconds=30, count=3)
        broker.delete("mail")

        assert lost(operation) == pks(overdue)

    def test_a_target_published_long_ago_is_lost_in_any_case(self, operation, settings):
        published(operation, seconds=899)
        ancient = published(operation, seconds=901)
        unknown = published(operation, seconds=0, queued_at=None)

        assert lost(operation) == pks(ancient + unknown)

    def test_a_target_in_a_paused_queue_is_not_lost(self, operation, broker):
        """However long ago, and whatever the length of the queue."""
        Queue.objects.set_paused("mail", True, revision=1)
        waiting = published(operation, seconds=9000)
        broker.delete("mail")

        assert lost(operation) == set()
        assert operation.targets.filter(pk__in=pks(waiting), due_at__gt=ago(0)).count() == 1

    def test_a_target_whose_lease_is_valid_is_not_checked(self, operation, broker):
        published(operation, seconds=30, due_at=ago(-5))
        broker.delete("mail")

        assert lost(operation) == set()

    def test_a_sweep_publishes_it_again_as_a_new_attempt(self, operation, broker):
        (overtaken,) = published(operation, seconds=40)
        make_result("PENDING", task_id=overtaken.task_id)
        claimed(operation, seconds=30)
        operation.targets.filter(state="waiting").settle("skipped")

        assert dispatcher.sweep() == 1

        overtaken.refresh_from_db()
        assert (overtaken.state, overtaken.attempt) == ("queued", 2)
        assert overtaken.queued_at > ago(5)
        assert Result.objects.get(task_id=overtaken.task_id_of(1)).status == "REVOKED"
        assert not operations.claim(overtaken.task_id_of(1), 60), "the old message may still arrive"
        assert operations.claim(overtaken.task_id, 60)

    def test_the_broker_is_not_queried_while_no_target_is_overdue(self, no_broker):
        operation = make_operation(2)
        claimed(operation, seconds=30)
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

    def test_a_claim_in_one_queue_proves_nothing_about_another(self, operation, broker):
        add_foreign_message(broker, "slow")
        self.in_flight(self.of(operation, "slow"), 40)
        runs = {"state": "running", "started_at": ago(1), "due_at": ago(-60)}
        self.in_flight(self.of(operation, "mail"), 30, **runs)
        assert lost(operation) == set()

        self.of(operation, "slow").update(due_at=ago(1))
        self.in_flight(self.of(operation, "slow", 1), 30, **runs)
        assert lost(operation) == pks(self.of(operation, "slow"))

    def test_only_targets_of_the_empty_queue_are_lost(self, operation, broker):
        add_foreign_message(broker, "slow")
        self.in_flight(self.of(operation, "slow"), 30)
        self.in_flight(self.of(operation, "mail"), 30)

        assert lost(operation) == pks(self.of(operation, "mail"))

    def test_a_target_without_a_result_waits_for_the_longest_time(self, operation, broker):
        self.in_flight(self.of(operation, "mail"), 30)
        Result.objects.all().delete()

        assert lost(operation) == set()


class TestActor:
    """The actor must still have the permission when a target is published."""

    @pytest.fixture
    def operation(self, broker, bob):
        return make_operation(2, actor=bob)

    def revoke_permissions(self, bob):
        bob.user_permissions.clear()
        return User.objects.get(pk=bob.pk)

    def test_the_operation_is_paused_and_shows_the_reason(self, operation, bob, as_user, alice):
        self.revoke_permissions(bob)

        assert dispatcher.sweep() == 0

        operation.refresh_from_db()
        assert (operation.state, operation.pause_reason) == ("paused", "actor")
        page = page_text(as_user(alice).get(operation.get_absolute_url()))
        assert "Paused automatically: the user who started the operation" in page
        assert "Grant the permission again" in page

    def test_the_operation_of_a_deleted_account_is_paused(self, operation, bob):
        bob.delete()

        dispatcher.sweep()

        assert Operation.objects.get(pk=operation.pk).pause_reason == "actor"

    def test_it_cannot_be_resumed_without_the_permission(self, operation, bob, alice):
        self.revoke_permissions(bob)
        dispatcher.sweep()
        operation.refresh_from_db()

        with pytest.raises(WrongState, match="no longer has the permission"):
            operations.resume(operation=operation, actor=alice, reason="r")

        assert Operation.objects.get(pk=operation.pk).state == "paused"
        operations.abort(operation=operation, actor=alice, reason="r")
        assert operation.counts() == {"cancelled": 2}

    def test_it_can_be_resumed_with_the_permission(self, operation, bob, alice, broker):
        self.revoke_permissions(bob)
        dispatcher.sweep()
        grant(bob, "tasks_admin.send_reset_email")
        operation = Operation.objects.get(pk=operation.pk)

        operations.resume(operation=operation, actor=alice, reason="r")

        assert dispatcher.sweep() == 2
        assert Operation.objects.get(pk=operation.pk).pause_reason == ""

    def test_a_request_of_a_user_needs_no_permission(self, broker, bob):
        users = User.objects.filter(pk=bob.pk)
        accounts.request_reset_emails(users=users, actor=self.revoke_permissions(bob))

        assert dispatcher.sweep() == 1


class TestIsolation:
    """A fault of one operation does not affect the others."""

    def test_an_unexpected_error_stops_one_operation_only(self, broker, alice, caplog):
        make_result(queue="\ud800")  # no broker has a queue of this name
        broken = retry_failed(
            results=Result.objects.all(), confirmation=Confirmation(actor=alice, reason="r")
        )
        make_operation(2)

        assert dispatcher.sweep() == 2

        assert f"could not serve operation {broken.pk}." in caplog.text
        assert len(queued_messages(broker)) == 2

    def test_a_sweep_without_due_targets_takes_two_queries(self, broker, django_assert_num_queries):
        for number in range(5):
            make_operation(1, prefix=f"p{number}")
        dispatcher.sweep()

        with django_assert_num_queries(2):
            assert dispatcher.sweep() == 0

    def test_a_crashed_target_of_a_paused_operation_is_recovered(self, broker, alice):
        target = make_target("running", due=-1)
        operations.pause(operation=target.operation, actor=alice, reason="r")

        dispatcher.sweep()

        target.refresh_from_db()
        assert (target.state, target.crashes) == ("waiting", 1)
        assert target.due_at <= timezone.now() + timedelta(seconds=1)

    def test_a_target_with_too_many_crashes_fails_and_can_be_retried(self, broker, settings):
        settings.TASKS_ADMIN_MAX_CRASHES = 1
        target = make_target("running", due=-1, started_at=F("due_at"))
        make_result("STARTED", task_id=target.task_id)

        dispatcher.sweep()

        target.refresh_from_db()
        assert (target.state, target.reason) == ("failed", "crashed")
        row = Result.objects.get()
        assert (row.status, "WorkerLostError" in row.result) == ("FAILURE", True)
