"""Housekeeping deletes expired rows in batches, and keeps rows that are still needed."""

import uuid
from datetime import timedelta

import pytest
from celery import current_app
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tasks_admin import accounts, operations, results, tasks
from tasks_admin.dispatcher import housekeeping
from tasks_admin.lib import deletion
from tasks_admin.models import (
    Beat,
    Dispatcher,
    Failure,
    Operation,
    QuarantinedMessage,
    QueueMinute,
    RateLimitCounter,
    Result,
    Revocation,
    Target,
    Worker,
)
from tasks_admin.operations import Confirmation, dispatchers
from tasks_admin.results import expiry
from tests.support.factories import make_failure_group, make_operation, make_result

pytestmark = pytest.mark.django_db
MONTH = timedelta(days=30)


def set_age(days, *rows):
    """Let the results have ended `days` days ago."""
    when = timezone.now() - timedelta(days=days)
    Result.objects.filter(pk__in=[row.pk for row in rows]).update(date_done=when)


def finished_operation(days, **fields):
    """An operation with two targets that finished `days` days ago."""
    operation = make_operation(2, prefix=f"d{days}-{Operation.objects.count()}-")
    operation.targets.all().settle("done")
    when = Now() - timedelta(days=days)
    Operation.objects.filter(pk=operation.pk).update(
        **{"state": "finished", "finished_at": when} | fields
    )
    return operation


def remaining():
    return set(Operation.objects.values_list("pk", flat=True))


class TestResults:
    """Expired results, by Celery's own task and setting."""

    def test_expired_results_are_deleted(self):
        old, young = make_result(), make_result()
        set_age(31, old)
        set_age(29, young)

        assert expiry.delete_expired(MONTH) == 1
        assert Result.objects.get() == young

    @pytest.mark.parametrize(("count", "batches"), [(0, 0), (3, 2), (6, 3), (7, 4)])
    def test_they_are_deleted_in_batches(self, monkeypatch, count, batches):
        monkeypatch.setattr(deletion, "MAX_BATCH_SIZE", 2)
        set_age(31, *(make_result() for _ in range(count)))

        with CaptureQueriesContext(connection) as queries:
            assert expiry.delete_expired(MONTH) == count

        assert not Result.objects.exists()
        assert sum(query["sql"].startswith("DELETE") for query in queries) == batches

    @pytest.mark.parametrize("state", ["waiting", "queued", "running"])
    def test_the_original_of_an_unfinished_retry_is_kept(self, alice, state):
        row = make_result()
        results.retry_failed(
            results=Result.objects.all(), confirmation=Confirmation(actor=alice, reason="r")
        )
        set_age(400, row, make_result())
        Target.objects.update(state=state)

        assert expiry.delete_expired(MONTH) == 1
        assert Result.objects.get() == row

        Target.objects.all().settle("done")
        assert expiry.delete_expired(MONTH) == 1

    def test_celerys_own_cleanup_task_deletes_them(self):
        young = make_result()
        set_age(31, make_result(), make_result())

        current_app.tasks["celery.backend_cleanup"]()

        assert Result.objects.get() == young

    @pytest.mark.parametrize("expires", [None, 0])
    def test_without_an_expiry_no_result_is_deleted(self, expires):
        set_age(4000, make_result())
        backend = current_app.backend
        before, backend.expires = backend.expires, expires
        try:
            backend.cleanup()
        finally:
            backend.expires = before

        assert Result.objects.count() == 1

    def test_the_expiry_is_celerys(self):
        assert current_app.backend.expires == MONTH.total_seconds()


class TestOperations:
    """Expired operations, and their targets."""

    def test_expired_operations_are_deleted_with_their_targets(self, settings):
        settings.TASKS_ADMIN_OPERATION_EXPIRES_DAYS = 90
        finished_operation(91)
        young = finished_operation(89)

        assert housekeeping.delete_operations() == 1

        assert remaining() == {young.pk}
        assert set(Target.objects.values_list("operation", flat=True)) == {young.pk}

    def test_targets_are_deleted_in_batches(self, monkeypatch):
        monkeypatch.setattr(deletion, "MAX_BATCH_SIZE", 1)
        finished_operation(400)

        assert housekeeping.delete_operations() == 1
        assert not Target.objects.exists()

    def test_none_disables_the_expiry(self, settings):
        settings.TASKS_ADMIN_OPERATION_EXPIRES_DAYS = None
        finished_operation(4000)

        assert housekeeping.delete_operations() == 0
        assert Target.objects.count() == 2

    @pytest.mark.parametrize("state", ["pending", "running", "paused", "aborted"])
    def test_an_unfinished_operation_is_kept(self, state):
        operation = make_operation(1)
        long_ago = timezone.now() - timedelta(days=4000)
        Operation.objects.update(state=state, created_at=long_ago)

        assert housekeeping.delete_operations() == 0
        assert remaining() == {operation.pk}

    def test_a_child_operation_is_kept_without_its_parent(self):
        old = finished_operation(400)
        child = Operation.objects.create(verb="pause", parent=old, finished_at=timezone.now())

        housekeeping.delete_operations()

        child.refresh_from_db()
        assert child.parent is None

    def test_a_retry_is_kept_as_long_as_its_result(self, alice):
        row = make_result()
        operation = results.retry_failed(
            results=Result.objects.all(), confirmation=Confirmation(actor=alice, reason="r")
        )
        operation.targets.all().settle("failed")
        long_ago = timezone.now() - timedelta(days=400)
        Operation.objects.update(state="finished", finished_at=long_ago)

        assert housekeeping.delete_operations() == 0
        assert (
            results.with_exclusion_reason(Result.objects.all()).get().exclusion_reason == "retried"
        )

        row.delete()
        assert housekeeping.delete_operations() == 1


class TestRequests:
    """Requests for unknown email addresses are kept for a day, to count them."""

    def request(self, name, days):
        operation = accounts.request_reset_emails(
            users=User.objects.filter(username=name), actor=None
        )
        operations.finish_ended()
        when = timezone.now() - timedelta(days=days)
        Operation.objects.filter(pk=operation.pk).update(finished_at=when)
        return operation

    def test_they_are_deleted_after_a_day(self, settings):
        settings.TASKS_ADMIN_OPERATION_EXPIRES_DAYS = None
        self.request("unknown", 1.1)
        young = self.request("unknown", 0.9)

        assert housekeeping.delete_operations() == 1
        assert remaining() == {young.pk}

    def test_a_request_with_a_target_is_kept(self, alice):
        operation = accounts.request_reset_emails(
            users=User.objects.filter(pk=alice.pk), actor=alice
        )
        operation.targets.all().settle("done")
        operations.finish_ended()
        Operation.objects.update(finished_at=timezone.now() - timedelta(days=2))

        assert housekeeping.delete_operations() == 0

    def test_an_operation_without_targets_is_kept(self):
        Operation.objects.create(
            verb="pause", finished_at=timezone.now() - timedelta(days=2), state="finished"
        )

        assert housekeeping.delete_operations() == 0


def test_the_hourly_task_deletes_all_kinds_of_rows():
    finished_operation(400)
    dispatchers.record_heartbeat("killed")
    Dispatcher.objects.update(last_seen_at="2020-01-01T00:00Z")
    RateLimitCounter.objects.create(key="k", expires_at="2020-01-01T00:00Z")
    Revocation.objects.create(task_id="a", revoked_at="2020-01-01T00:00Z")
    make_failure_group(0, last_at="2020-01-01T00:00Z")
    Failure.objects.create(group=make_failure_group(), task_id="gone", failed_at=timezone.now())
    long_ago = dict.fromkeys(("started_at", "last_seen_at"), "2020-01-01T00:00Z")
    Worker.objects.create(name="w", start_id=uuid.uuid4(), **long_ago)
    Beat.objects.create(name="b", last_seen_at="2020-01-01T00:00Z")
    QueueMinute.objects.create(queue="q", minute="2020-01-01T00:00Z")
    QuarantinedMessage.objects.create(
        operation=make_operation(), queue="q", payload=b"{}", quarantined_at="2020-01-01T00:00Z"
    )
    kinds = (
        "attempts",
        "beats",
        "failure_groups",
        "dispatchers",
        "failures",
        "minutes",
        "operations",
        "quarantined",
        "revocations",
        "workers",
    )

    assert tasks.housekeep() == dict.fromkeys(kinds, 1)
    assert tasks.housekeep() == dict.fromkeys(kinds, 0)
