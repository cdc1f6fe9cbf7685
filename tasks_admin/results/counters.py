"""Counters of finished results, by task and status: their cost does not grow with the table.

Each result is counted once, a minute after its end. A result that is stored later than that,
because the database was unavailable to its worker, is not counted.
"""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Count, F
from django.utils import timezone

from tasks_admin.models import Result, ResultCount, ResultCountCheckpoint
from tasks_admin.models.result_states import ENDED

#: The time from the end of a result until it is counted.
DELAY = timedelta(minutes=1)
#: The maximum period that one call counts.
MAX_PERIOD = timedelta(minutes=10)


def count_next() -> int:
    """Count the results since the checkpoint; return how many. One of several callers succeeds."""
    latest = timezone.now() - DELAY
    checkpoint = ResultCountCheckpoint.objects.first()
    if checkpoint is None:
        ResultCountCheckpoint.objects.bulk_create(
            [ResultCountCheckpoint(pk=1, until=latest)], ignore_conflicts=True
        )
        return 0
    until = min(latest, checkpoint.until + MAX_PERIOD)
    if until <= checkpoint.until:
        return 0
    with transaction.atomic():
        unchanged = ResultCountCheckpoint.objects.filter(
            pk=checkpoint.pk, version=checkpoint.version
        )
        if not unchanged.update(version=F("version") + 1, until=until):
            return 0
        return sum(_add(*row) for row in _ended(checkpoint.until, until))


def _ended(after: datetime, until: datetime) -> list[tuple[str, str, int]]:
    """Rows of (task, status, number of results), read from the index of `date_done`."""
    # The query has no condition on the status: the database would choose that index instead.
    found = Result.objects.filter(date_done__gt=after, date_done__lte=until)
    rows = found.order_by().values_list("task_name", "status").annotate(n=Count("pk"))
    return [(task or "", status, count) for task, status, count in rows if status in ENDED]


def _add(task: str, status: str, count: int) -> int:
    row = ResultCount.objects.filter(task=task, status=status)
    if not row.update(count=F("count") + count):
        ResultCount.objects.bulk_create(
            [ResultCount(task=task, status=status)], ignore_conflicts=True
        )
        row.update(count=F("count") + count)
    return count
