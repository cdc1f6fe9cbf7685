"""Deleting many rows in small batches: no writer waits long for a lock."""

import time
from collections.abc import Callable

from django.db.models import QuerySet

#: Rows deleted in one transaction.
MAX_BATCH_SIZE, MIN_BATCH_SIZE = 1000, 20
#: Seconds that such a transaction should take, and the longest pause after one.
TARGET_DURATION, MAX_PAUSE = 0.02, 0.2


def in_batches(rows: Callable[[], QuerySet]) -> int:  # type: ignore[type-arg]
    """Delete all of these rows in batches; return their number.

    Each batch is as large as can be deleted in `TARGET_DURATION`. A pause of the same length
    follows: on SQLite a waiting writer polls for the lock, and must find it free.
    """
    count, size = 0, MAX_BATCH_SIZE
    while ids := list(rows().values_list("pk", flat=True)[:size]):
        started = time.monotonic()
        count += rows().model._base_manager.filter(pk__in=ids)._raw_delete(using=rows().db)
        duration = time.monotonic() - started
        size = min(
            MAX_BATCH_SIZE, max(MIN_BATCH_SIZE, int(size * TARGET_DURATION / max(duration, 0.001)))
        )
        time.sleep(min(duration, MAX_PAUSE))
    return count
