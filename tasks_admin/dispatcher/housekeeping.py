"""Housekeeping: delete expired data in small batches, so that no writer waits long for a lock."""

from datetime import timedelta

from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from tasks_admin.accounts import rate_limits
from tasks_admin.lib import deletion
from tasks_admin.lib.conf import settings
from tasks_admin.lib.verbs import REQUEST_RESET_EMAIL
from tasks_admin.models import (
    Failure,
    FailureGroup,
    FailureGroupHour,
    FailureGroupState,
    Operation,
    QueueMinute,
    Result,
    Target,
)
from tasks_admin.operations import dispatchers
from tasks_admin.periodic import heartbeats as beats
from tasks_admin.queues import quarantine
from tasks_admin.results import revocations
from tasks_admin.workers import heartbeats


def clean() -> dict[str, int]:
    """Delete all expired data; return the number of deleted rows by kind."""
    return {
        "attempts": rate_limits.delete_expired(),
        "dispatchers": dispatchers.delete_offline(),
        "beats": beats.delete_expired(),
        "workers": heartbeats.delete_expired(),
        "operations": delete_operations(),
        "failures": delete_orphaned_failures(),
        "failure_groups": delete_failure_groups(),
        "minutes": delete_queue_minutes(),
        "quarantined": quarantine.delete_expired(),
        "revocations": revocations.delete_expired(settings.REVOCATION_EXPIRES_DAYS),
    }


def delete_queue_minutes() -> int:
    """Delete the history of queues that is older than a day."""
    old = QueueMinute.objects.filter(minute__lt=Now() - timedelta(days=1))
    return deletion.in_batches(lambda: old.order_by("minute"))


def delete_operations() -> int:
    """Delete operations that finished long ago; requests for unknown addresses after a day."""
    unknown = Q(verb=REQUEST_RESET_EMAIL, total=0, finished_at__lt=Now() - timedelta(days=1))
    old = Q(pk__in=[])
    if settings.OPERATION_EXPIRES_DAYS is not None:
        old = Q(finished_at__lt=Now() - timedelta(days=settings.OPERATION_EXPIRES_DAYS))
    # The lock key of a retry prevents a second retry of its result.
    existing = Result.objects.filter(task_id=OuterRef("subject"))
    needed = Target.objects.filter(
        Exists(existing), operation=OuterRef("pk"), lock_key__isnull=False
    )
    expired = Operation.objects.filter(old | unknown).exclude(Exists(needed))
    count = 0
    for operation in expired.order_by("pk").iterator(100):
        deletion.in_batches(lambda of=operation: of.targets.all())  # type: ignore[misc]
        count += operation.delete()[1].get("tasks_admin.Operation", 0)
    return count


def delete_orphaned_failures() -> int:
    """Delete failures whose result no longer exists, in batches."""
    count, after = 0, 0
    existing = Result.objects.filter(task_id=OuterRef("task_id"))
    while True:
        batch = Failure.objects.filter(pk__gt=after).order_by("pk")
        keys = list(batch.values_list("pk", flat=True)[: deletion.MAX_BATCH_SIZE])
        if not keys:
            return count
        after = keys[-1]
        gone = list(batch.filter(~Exists(existing), pk__lte=after).values_list("pk", flat=True))
        count += Failure.objects.filter(pk__in=gone)._raw_delete(using=batch.db) if gone else 0


def delete_failure_groups() -> int:
    """Delete groups without failures that have not occurred for a month; muted ones after a year.

    The hourly counts are deleted after a month.
    """
    month, year = Now() - timedelta(days=30), Now() - timedelta(days=365)
    hours = FailureGroupHour.objects.filter(hour__lt=month)
    deletion.in_batches(lambda: hours.order_by("hour"))
    quiet = Q(last_at__lt=month) & ~Q(state=FailureGroupState.MUTED) | Q(last_at__lt=year)
    left = Failure.objects.filter(group=OuterRef("pk"))
    old = FailureGroup.objects.filter(quiet).filter(~Exists(left))
    count = 0
    # A failure recorded meanwhile updates `last_at`: the guard is evaluated again after a wait.
    while keys := list(old.values_list("pk", flat=True)[: deletion.MAX_BATCH_SIZE]):
        deleted = FailureGroup.objects.filter(quiet, pk__in=keys)._raw_delete(using=old.db)
        FailureGroupHour.objects.filter(group__in=keys).exclude(
            group__in=FailureGroup.objects.filter(pk__in=keys)
        )._raw_delete(using=old.db)
        count += deleted
        if not deleted:
            break
    return count
