"""Counts that cost the same in any table: exact, or "10,000+"."""

from typing import Any

from django.db.models import QuerySet

from tasks_admin.lib.conf import settings


class OrMore(int):
    """A number of rows at which counting was stopped: "10,000+"."""

    def __str__(self) -> str:
        """Say so wherever Django's templates show the number."""
        return f"{int(self):,}+"


def bounded(rows: QuerySet[Any]) -> int:
    """The number of rows; beyond `COUNT_BOUND` that bound, which says that there are more."""
    bound: int = settings.COUNT_BOUND
    count = rows.order_by().values("pk")[: bound + 1].count()
    return count if count <= bound else OrMore(bound)
