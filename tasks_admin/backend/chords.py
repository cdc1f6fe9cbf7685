"""Counting the finished tasks of a chord: each once, also if the database is unavailable."""

from dataclasses import dataclass

from celery.utils.log import get_logger
from django.db import connections, router, transaction
from django_celery_results.models import ChordCounter  # type: ignore[attr-defined]

from tasks_admin.models.dialects import dialect_of

logger = get_logger(__name__)


@dataclass
class ChordPart:
    """One finished task of a chord. `count` may be repeated after an error, and counts once."""

    group_id: str
    #: The transaction that counted it; after an error it is not known whether it was committed.
    transaction_id: int | None = None
    counter: ChordCounter | None = None

    def count(self) -> ChordCounter | None:
        """Return the chord's counter if this was the last task."""
        if self._is_counted():
            return self._finished_counter()
        using = router.db_for_write(ChordCounter)
        with transaction.atomic(using=using):
            rows = ChordCounter.objects.using(using).select_for_update()
            self.counter = rows.filter(group_id=self.group_id).first()
            if self.counter is None:
                logger.warning("Can't find ChordCounter for Group %s", self.group_id)
                return None
            self._decrement(self.counter)
            connection = connections[using]
            with connection.cursor() as cursor:
                self.transaction_id = dialect_of(connection).transaction_id(cursor)
        return self._finished_counter()

    def _decrement(self, counter: ChordCounter) -> None:
        counter.count -= 1
        rows = ChordCounter.objects.filter(pk=counter.pk)
        if counter.count:
            rows.update(count=counter.count)
        else:
            rows.delete()

    def _finished_counter(self) -> ChordCounter | None:
        return self.counter if self.counter is not None and not self.counter.count else None

    def _is_counted(self) -> bool:
        """Whether the previous try was committed, although its reply was lost."""
        if self.transaction_id is None:
            return False
        connection = connections[router.db_for_write(ChordCounter)]
        with connection.cursor() as cursor:
            return dialect_of(connection).was_committed(cursor, self.transaction_id)
