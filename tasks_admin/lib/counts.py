"""Counts with a bounded cost: exact, or "10,000+"."""

from typing import Any

from django.db.models import QuerySet

from tasks_admin.lib.conf import settings


class LowerBound(int):
    """A number of rows at which counting stopped: "10,000+"."""

    def __str__(self) -> str:
        """The format in Django's templates."""
        return f"{int(self):,}+"


def bounded_count(rows: QuerySet[Any]) -> int:
    """The number of rows; `COUNT_BOUND` as a `LowerBound` if there are more."""
    bound: int = settings.COUNT_BOUND
    count = rows.order_by().values("pk")[: bound + 1].count()
    return count if count <= bound else LowerBound(bound)
