"""Counting the parts of a chord that returned, each once, though the database goes away."""

from dataclasses import dataclass
from typing import Any

from celery.utils.log import get_logger
from django.db import connections, router, transaction
from django_celery_results.models import ChordCounter  # type: ignore[attr-defined]

logger = get_logger(__name__)


@dataclass
class Part:
    """One part that returned. May be counted again after an error, and counts once."""

    group_id: str
    #: The transaction that counted it, when that was begun; its end may be unknown.
    number: int | None = None
    counter: ChordCounter | None = None

    def count(self) -> ChordCounter | None:
        """Return the chord's counter when this was the last part."""
        if self._counted():
            return self._last()
        using = router.db_for_write(ChordCounter)
        with transaction.atomic(using=using):
            rows = ChordCounter.objects.using(using).select_for_update()
            self.counter = rows.filter(group_id=self.group_id).first()
            if self.counter is None:
                logger.warning("Can't find ChordCounter for Group %s", self.group_id)
                return None
            self._subtract(self.counter)
            self.number = _transaction(using)
        return self._last()

    def _subtract(self, counter: ChordCounter) -> None:
        counter.count -= 1
        rows = ChordCounter.objects.filter(pk=counter.pk)
        if counter.count:
            rows.update(count=counter.count)
        else:
            rows.delete()

    def _last(self) -> ChordCounter | None:
        return self.counter if self.counter is not None and not self.counter.count else None

    def _counted(self) -> bool:
        """Whether the try before was committed, though its answer was lost."""
        if self.number is None:
            return False
        with connections[router.db_for_write(ChordCounter)].cursor() as cursor:
            cursor.execute("SELECT txid_status(%s)", [self.number])
            return bool(cursor.fetchone()[0] == "committed")


def _transaction(using: Any) -> int | None:
    """The number of the transaction; SQLite has none, and loses no answers."""
    connection = connections[using]
    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT txid_current()")
        return int(cursor.fetchone()[0])
