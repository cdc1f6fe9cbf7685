"""Delete what nobody needs any more, in small bites: nobody waits long for a lock."""

import time
from collections.abc import Callable
from datetime import timedelta

from django.db.models import CharField, Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Concat, Now

from tasks_admin import limits, presence, quarantine, revocations
from tasks_admin.conf import settings
from tasks_admin.models import (
    Cause,
    CauseHour,
    CauseState,
    Failure,
    Operation,
    QueueMinute,
    Result,
    Target,
)
from tasks_admin.models.targets import OPEN
from tasks_admin.verbs import REQUEST_RESET_EMAIL

#: Rows deleted in one transaction: at most, and at least.
BITE, SMALLEST = 1000, 20
#: Seconds that such a transaction should take, and the longest pause after one.
BITE_TIME, LONGEST_PAUSE = 0.02, 0.2


def clean() -> dict[str, int]:
    """Return how many rows of each kind were deleted."""
    return {
        "attempts": limits.forget_expired(),
        "dispatchers": presence.forget_silent(),
        "beats": presence.beats.forget_stopped(),
        "workers": presence.forget_gone(),
        "operations": forget_operations(),
        "failures": forget_orphans(),
        "causes": forget_causes(),
        "minutes": forget_minutes(),
        "quarantined": quarantine.forget(),
        "revocations": revocations.forget(settings.REVOCATION_EXPIRES_DAYS),
    }


def forget_minutes() -> int:
    """Delete how queues were more than a day ago."""
    old = QueueMinute.objects.filter(minute__lt=Now() - timedelta(days=1))
    return _in_bites(lambda: old.order_by("minute"))


def forget_operations() -> int:
    """Delete operations that ended long ago, and requests for unknown addresses after a day."""
    unknown = Q(verb=REQUEST_RESET_EMAIL, total=0, finished_at__lt=Now() - timedelta(days=1))
    old = Q(pk__in=[])
    if settings.OPERATION_EXPIRES_DAYS is not None:
        old = Q(finished_at__lt=Now() - timedelta(days=settings.OPERATION_EXPIRES_DAYS))
    # The target of a retry is what keeps a result from being retried twice.
    there = Result.objects.filter(task_id=OuterRef("subject"))
    needed = Target.objects.filter(Exists(there), operation=OuterRef("pk"), hold__isnull=False)
    expired = Operation.objects.filter(old | unknown).exclude(Exists(needed))
    count = 0
    for operation in expired.order_by("pk").iterator(100):
        _in_bites(lambda of=operation: of.targets.all())  # type: ignore[misc]
        count += operation.delete()[1].get("tasks_admin.Operation", 0)
    return count


def forget_results(before: timedelta) -> int:
    """Delete results that ended longer ago than `before`, but none that waits to be retried."""
    hold = Concat(Value("result:"), OuterRef("task_id"), output_field=CharField())
    wanted = Target.objects.filter(hold=hold, state__in=OPEN)
    old = Result.objects.filter(date_done__lt=Now() - before).filter(~Exists(wanted))
    count = _in_bites(lambda: old.order_by("date_done"))
    expired = Failure.objects.filter(failed_at__lt=Now() - before)
    _in_bites(lambda: expired.order_by("failed_at"))
    return count


def forget_orphans() -> int:
    """Delete failures whose result is gone, looking through the failures some at a time."""
    count, after = 0, 0
    there = Result.objects.filter(task_id=OuterRef("task_id"))
    while True:
        bite = Failure.objects.filter(pk__gt=after).order_by("pk")
        keys = list(bite.values_list("pk", flat=True)[:BITE])
        if not keys:
            return count
        after = keys[-1]
        gone = list(bite.filter(~Exists(there), pk__lte=after).values_list("pk", flat=True))
        count += Failure.objects.filter(pk__in=gone)._raw_delete(using=bite.db) if gone else 0


def forget_causes() -> int:
    """Delete causes that have no failures any more and did not occur for a month.

    A mute is a decision of staff, and is kept for a year. Hours go after a month.
    """
    month, year = Now() - timedelta(days=30), Now() - timedelta(days=365)
    hours = CauseHour.objects.filter(hour__lt=month)
    _in_bites(lambda: hours.order_by("hour"))
    silent = Q(last_at__lt=month) & ~Q(state=CauseState.MUTED) | Q(last_at__lt=year)
    left = Failure.objects.filter(cause=OuterRef("pk"))
    old = Cause.objects.filter(silent).filter(~Exists(left))
    count = 0
    # One that fails meanwhile has a new `last_at`: the guard looks again when it had to wait.
    while keys := list(old.values_list("pk", flat=True)[:BITE]):
        deleted = Cause.objects.filter(silent, pk__in=keys)._raw_delete(using=old.db)
        CauseHour.objects.filter(cause__in=keys).exclude(
            cause__in=Cause.objects.filter(pk__in=keys)
        )._raw_delete(using=old.db)
        count += deleted
        if not deleted:
            break
    return count


def _in_bites(rows: Callable[[], QuerySet]) -> int:  # type: ignore[type-arg]
    """Delete all of these rows, some at a time; return how many.

    Each bite is as large as can be deleted in `BITE_TIME`, and is followed by a pause of the same
    length: who waits for a lock on SQLite looks for it now and then, and must find it open.
    """
    count, size = 0, BITE
    while ids := list(rows().values_list("pk", flat=True)[:size]):
        begun = time.monotonic()
        count += rows().model._base_manager.filter(pk__in=ids)._raw_delete(using=rows().db)
        took = time.monotonic() - begun
        size = min(BITE, max(SMALLEST, int(size * BITE_TIME / max(took, 0.001))))
        time.sleep(min(took, LONGEST_PAUSE))
    return count
