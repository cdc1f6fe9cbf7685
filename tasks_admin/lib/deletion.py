"""Deleting many rows in small batches, so that no writer waits long for a lock."""

import time
from collections.abc import Callable

from django.db.models import QuerySet

#: Rows deleted in one transaction: at most, and at least.
MAX_BATCH, MIN_BATCH = 1000, 20
#: Seconds that such a transaction should take, and the longest pause after one.
BATCH_TIME, MAX_PAUSE = 0.02, 0.2


def in_batches(rows: Callable[[], QuerySet]) -> int:  # type: ignore[type-arg]
    """Delete all of these rows, some at a time; return how many.

    Each batch is as large as can be deleted in `BATCH_TIME`, and is followed by a pause of the same
    length: who waits for a lock on SQLite looks for it now and then, and must find it open.
    """
    count, size = 0, MAX_BATCH
    while ids := list(rows().values_list("pk", flat=True)[:size]):
        begun = time.monotonic()
        count += rows().model._base_manager.filter(pk__in=ids)._raw_delete(using=rows().db)
        took = time.monotonic() - begun
        size = min(MAX_BATCH, max(MIN_BATCH, int(size * BATCH_TIME / max(took, 0.001))))
        time.sleep(min(took, MAX_PAUSE))
    return count
