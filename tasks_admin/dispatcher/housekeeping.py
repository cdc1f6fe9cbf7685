"""Delete what nobody needs any more, in small bites: nobody waits long for a lock."""

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
    """Return how many rows of each kind were deleted."""
    return {
        "attempts": rate_limits.delete_expired(),
        "dispatchers": dispatchers.delete_offline(),
        "beats": beats.forget_stopped(),
        "workers": heartbeats.delete_expired(),
        "operations": forget_operations(),
        "failures": forget_orphans(),
        "failure_groups": forget_failure_groups(),
        "minutes": forget_minutes(),
        "quarantined": quarantine.forget(),
        "revocations": revocations.forget(settings.REVOCATION_EXPIRES_DAYS),
    }


def forget_minutes() -> int:
    """Delete how queues were more than a day ago."""
    old = QueueMinute.objects.filter(minute__lt=Now() - timedelta(days=1))
    return deletion.in_batches(lambda: old.order_by("minute"))


def forget_operations() -> int:
    """Delete operations that ended long ago, and requests for unknown addresses after a day."""
    unknown = Q(verb=REQUEST_RESET_EMAIL, total=0, finished_at__lt=Now() - timedelta(days=1))
    old = Q(pk__in=[])
    if settings.OPERATION_EXPIRES_DAYS is not None:
        old = Q(finished_at__lt=Now() - timedelta(days=settings.OPERATION_EXPIRES_DAYS))
    # The target of a retry is what keeps a result from being retried twice.
    there = Result.objects.filter(task_id=OuterRef("subject"))
    needed = Target.objects.filter(Exists(there), operation=OuterRef("pk"), lock_key__isnull=False)
    expired = Operation.objects.filter(old | unknown).exclude(Exists(needed))
    count = 0
    for operation in expired.order_by("pk").iterator(100):
        deletion.in_batches(lambda of=operation: of.targets.all())  # type: ignore[misc]
        count += operation.delete()[1].get("tasks_admin.Operation", 0)
    return count


def forget_orphans() -> int:
    """Delete failures whose result is gone, looking through the failures some at a time."""
    count, after = 0, 0
    there = Result.objects.filter(task_id=OuterRef("task_id"))
    while True:
        bite = Failure.objects.filter(pk__gt=after).order_by("pk")
        keys = list(bite.values_list("pk", flat=True)[: deletion.MAX_BATCH])
        if not keys:
            return count
        after = keys[-1]
        gone = list(bite.filter(~Exists(there), pk__lte=after).values_list("pk", flat=True))
        count += Failure.objects.filter(pk__in=gone)._raw_delete(using=bite.db) if gone else 0


def forget_failure_groups() -> int:
    """Delete causes that have no failures any more and did not occur for a month.

    A mute is a decision of staff, and is kept for a year. Hours go after a month.
    """
    month, year = Now() - timedelta(days=30), Now() - timedelta(days=365)
    hours = FailureGroupHour.objects.filter(hour__lt=month)
    deletion.in_batches(lambda: hours.order_by("hour"))
    silent = Q(last_at__lt=month) & ~Q(state=FailureGroupState.MUTED) | Q(last_at__lt=year)
    left = Failure.objects.filter(group=OuterRef("pk"))
    old = FailureGroup.objects.filter(silent).filter(~Exists(left))
    count = 0
    # One that fails meanwhile has a new `last_at`: the guard looks again when it had to wait.
    while keys := list(old.values_list("pk", flat=True)[: deletion.MAX_BATCH]):
        deleted = FailureGroup.objects.filter(silent, pk__in=keys)._raw_delete(using=old.db)
        FailureGroupHour.objects.filter(group__in=keys).exclude(
            group__in=FailureGroup.objects.filter(pk__in=keys)
        )._raw_delete(using=old.db)
        count += deleted
        if not deleted:
            break
    return count
