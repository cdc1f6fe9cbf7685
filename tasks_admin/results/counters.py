"""Counts results as they end: a counter must not cost more when the table grows.

Each is counted once, a minute after its end. One that is stored still later, because the database
was away from its worker, is not counted.
"""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Count, F
from django.utils import timezone

from tasks_admin.models import Result, ResultCount, ResultCountCheckpoint
from tasks_admin.models.result_states import ENDED

#: Results are counted so long after their end; and those of at most so long at a time.
LAG, STRIDE = timedelta(minutes=1), timedelta(minutes=10)


def count_next() -> int:
    """Count what ended since the last time; return how many. Of two who do so, one does."""
    last = timezone.now() - LAG
    mark = ResultCountCheckpoint.objects.first()
    if mark is None:
        ResultCountCheckpoint.objects.bulk_create(
            [ResultCountCheckpoint(pk=1, until=last)], ignore_conflicts=True
        )
        return 0
    until = min(last, mark.until + STRIDE)
    if until <= mark.until:
        return 0
    with transaction.atomic():
        mine = ResultCountCheckpoint.objects.filter(pk=mark.pk, version=mark.version)
        if not mine.update(version=F("version") + 1, until=until):
            return 0
        return sum(_add(*row) for row in _ended(mark.until, until))


def _ended(after: datetime, until: datetime) -> list[tuple[str, str, int]]:
    """What ended then: (task, status, how many). Read off the index of `date_done`."""
    # No word about the status: the database would be tempted to read that index.
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
