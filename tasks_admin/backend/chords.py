"""Counting the parts of a chord that returned, each once, though the database goes away."""

from dataclasses import dataclass

from celery.utils.log import get_logger
from django.db import connections, router, transaction
from django_celery_results.models import ChordCounter  # type: ignore[attr-defined]

from tasks_admin.models.dialects import dialect_of

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
            connection = connections[using]
            with connection.cursor() as cursor:
                self.number = dialect_of(connection).transaction_id(cursor)
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
        connection = connections[router.db_for_write(ChordCounter)]
        with connection.cursor() as cursor:
            return dialect_of(connection).was_committed(cursor, self.number)
