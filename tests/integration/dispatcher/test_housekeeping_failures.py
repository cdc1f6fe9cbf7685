"""Failures are deleted with their results, hours after a month, and groups when they are empty."""

from datetime import timedelta

import pytest
from django.utils import timezone

from tasks_admin.dispatcher import housekeeping
from tasks_admin.lib import deletion
from tasks_admin.models import Failure, FailureGroup, FailureGroupHour, Result
from tasks_admin.results import expiry
from tests.support.factories import make_failure_group

pytestmark = pytest.mark.django_db


def ago(days):
    return timezone.now() - timedelta(days=days)


def test_failures_are_deleted_with_their_results():
    old, young = make_failure_group(2), make_failure_group(2)
    Failure.objects.filter(group=old).update(failed_at=ago(31))
    Result.objects.filter(task_id__in=old.failures.values("task_id")).update(date_done=ago(31))

    assert expiry.delete_expired(timedelta(days=30)) == 2

    assert (old.failures.count(), young.failures.count()) == (0, 2)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_orphaned_failures_are_deleted_in_batches(monkeypatch, batch_size):
    monkeypatch.setattr(deletion, "MAX_BATCH_SIZE", batch_size)
    group = make_failure_group(7)
    gone = list(group.failures.values_list("task_id", flat=True))[::2]
    Result.objects.filter(task_id__in=gone).delete()

    assert housekeeping.delete_orphaned_failures() == 4
    assert group.failures.count() == 3
    assert housekeeping.delete_orphaned_failures() == 0


def test_hours_are_deleted_after_a_month():
    group = make_failure_group()
    for days in (0, 29, 31, 400):
        FailureGroupHour.objects.create(group=group, hour=ago(days), count=1)

    housekeeping.clean()

    assert group.hours.count() == 2


@pytest.mark.parametrize(
    ("state", "days", "failures", "stays"),
    [("open", 29, 0, True), ("open", 31, 0, False), ("resolved", 31, 0, False),
     ("open", 31, 1, True), ("muted", 31, 0, True), ("muted", 366, 0, False),
     ("resolved", 1, 0, True), ("open", 400, 1, True)],
)  # fmt: skip
def test_failure_groups_are_deleted_when_they_are_empty_and_old(state, days, failures, stays):
    group = make_failure_group(failures, state=state, last_at=ago(days))
    FailureGroupHour.objects.create(group=group, hour=ago(1), count=1)

    housekeeping.clean()

    assert FailureGroup.objects.filter(pk=group.pk).exists() is stays
    assert FailureGroupHour.objects.exists() is stays
