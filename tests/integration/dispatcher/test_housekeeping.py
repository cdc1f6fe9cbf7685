"""Housekeeping: what nobody needs any more goes, in bites; what somebody waits for stays."""

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


def aged(days, *rows):
    """Results that ended so many days ago."""
    when = timezone.now() - timedelta(days=days)
    Result.objects.filter(pk__in=[row.pk for row in rows]).update(date_done=when)


def ended(days, **fields):
    """An operation of two targets that ended so many days ago."""
    operation = make_operation(2, prefix=f"d{days}-{Operation.objects.count()}-")
    operation.targets.all().settle("done")
    when = Now() - timedelta(days=days)
    Operation.objects.filter(pk=operation.pk).update(
        **{"state": "finished", "finished_at": when} | fields
    )
    return operation


def left():
    return set(Operation.objects.values_list("pk", flat=True))


class TestResults:
    """Expired results, by Celery's own clock and setting."""

    def test_what_ended_long_ago_goes(self):
        old, young = make_result(), make_result()
        aged(31, old)
        aged(29, young)

        assert expiry.delete_expired(MONTH) == 1
        assert Result.objects.get() == young

    @pytest.mark.parametrize(("count", "bites"), [(0, 0), (3, 2), (6, 3), (7, 4)])
    def test_in_bites(self, monkeypatch, count, bites):
        monkeypatch.setattr(deletion, "MAX_BATCH_SIZE", 2)
        aged(31, *(make_result() for _ in range(count)))

        with CaptureQueriesContext(connection) as queries:
            assert expiry.delete_expired(MONTH) == count

        assert not Result.objects.exists()
        assert sum(query["sql"].startswith("DELETE") for query in queries) == bites

    @pytest.mark.parametrize("state", ["waiting", "queued", "running"])
    def test_never_one_that_an_open_retry_waits_for(self, alice, state):
        row = make_result()
        results.retry_failed(
            results=Result.objects.all(), confirmation=Confirmation(actor=alice, reason="r")
        )
        aged(400, row, make_result())
        Target.objects.update(state=state)

        assert expiry.delete_expired(MONTH) == 1
        assert Result.objects.get() == row

        Target.objects.all().settle("done")
        assert expiry.delete_expired(MONTH) == 1

    def test_celerys_own_task_does_it(self):
        young = make_result()
        aged(31, make_result(), make_result())

        current_app.tasks["celery.backend_cleanup"]()

        assert Result.objects.get() == young

    @pytest.mark.parametrize("expires", [None, 0])
    def test_without_a_time_nothing_goes(self, expires):
        aged(4000, make_result())
        backend = current_app.backend
        before, backend.expires = backend.expires, expires
        try:
            backend.cleanup()
        finally:
            backend.expires = before

        assert Result.objects.count() == 1

    def test_the_time_is_celerys(self):
        assert current_app.backend.expires == MONTH.total_seconds()


class TestOperations:
    """Operations, and their targets with them."""

    def test_what_ended_before_the_setting_goes_with_its_targets(self, settings):
        settings.TASKS_ADMIN_OPERATION_EXPIRES_DAYS = 90
        ended(91)
        young = ended(89)

        assert housekeeping.delete_operations() == 1

        assert left() == {young.pk}
        assert set(Target.objects.values_list("operation", flat=True)) == {young.pk}

    def test_targets_go_in_bites(self, monkeypatch):
        monkeypatch.setattr(deletion, "MAX_BATCH_SIZE", 1)
        ended(400)

        assert housekeeping.delete_operations() == 1
        assert not Target.objects.exists()

    def test_none_means_never(self, settings):
        settings.TASKS_ADMIN_OPERATION_EXPIRES_DAYS = None
        ended(4000)

        assert housekeeping.delete_operations() == 0
        assert Target.objects.count() == 2

    @pytest.mark.parametrize("state", ["pending", "running", "paused", "aborted"])
    def test_never_one_that_is_still_going(self, state):
        operation = make_operation(1)
        long_ago = timezone.now() - timedelta(days=4000)
        Operation.objects.update(state=state, created_at=long_ago)

        assert housekeeping.delete_operations() == 0
        assert left() == {operation.pk}

    def test_what_belonged_to_it_stays_without_it(self):
        old = ended(400)
        child = Operation.objects.create(verb="pause", parent=old, finished_at=timezone.now())

        housekeeping.delete_operations()

        child.refresh_from_db()
        assert child.parent is None

    def test_a_retry_stays_as_long_as_its_result(self, alice):
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
    """Requests for addresses that nobody has: kept for a day, to count them."""

    def ask(self, name, days):
        operation = accounts.request_reset_emails(
            users=User.objects.filter(username=name), actor=None
        )
        operations.finish_ended()
        when = timezone.now() - timedelta(days=days)
        Operation.objects.filter(pk=operation.pk).update(finished_at=when)
        return operation

    def test_they_go_after_a_day(self, settings):
        settings.TASKS_ADMIN_OPERATION_EXPIRES_DAYS = None
        self.ask("nobody", 1.1)
        young = self.ask("nobody", 0.9)

        assert housekeeping.delete_operations() == 1
        assert left() == {young.pk}

    def test_what_somebody_really_asked_for_stays(self, alice):
        operation = accounts.request_reset_emails(
            users=User.objects.filter(pk=alice.pk), actor=alice
        )
        operation.targets.all().settle("done")
        operations.finish_ended()
        Operation.objects.update(finished_at=timezone.now() - timedelta(days=2))

        assert housekeeping.delete_operations() == 0

    def test_an_act_without_targets_stays(self):
        Operation.objects.create(
            verb="pause", finished_at=timezone.now() - timedelta(days=2), state="finished"
        )

        assert housekeeping.delete_operations() == 0


def test_the_hourly_task_does_all_of_it():
    ended(400)
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
