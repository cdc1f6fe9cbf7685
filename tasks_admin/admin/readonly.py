"""Pages for rows that machines write."""

from typing import Any

from django.contrib.admin import ModelAdmin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

from tasks_admin.conf import settings


class BoundedPaginator(Paginator[Any]):
    """Counts up to `COUNT_BOUND` and no further: a page costs the same in any table."""

    @cached_property
    def count(self) -> int:
        """The number of rows, or one more than the bound."""
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return rows.order_by().values("pk")[: settings.COUNT_BOUND + 1].count()


class ReadOnlyAdmin(ModelAdmin[Any]):
    """Nothing here is added, changed or deleted by hand."""

    actions_on_bottom = False
    list_per_page = 50
    show_full_result_count = False
    paginator = BoundedPaginator

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Machines add."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Verbs change."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Housekeeping deletes."""
        return False
