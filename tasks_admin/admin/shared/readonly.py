"""Pages for rows that machines write."""

from typing import Any

from django.contrib.admin import ModelAdmin, ShowFacets
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

from tasks_admin.lib import counts


class BoundedPaginator(Paginator[Any]):
    """Counts up to `COUNT_BOUND` and no further: a page costs the same in any table."""

    @cached_property
    def count(self) -> int:
        """The number of rows, or the bound, which says that there are more."""
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return counts.bounded_count(rows)


class ReadOnlyAdmin(ModelAdmin[Any]):
    """Nothing here is added, changed or deleted by hand."""

    actions_on_bottom = False
    list_per_page = 50
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # they would count the whole table, once a choice
    paginator = BoundedPaginator

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Our filters are all there are: what is made up in the address would scan the table."""
        filters: Any = self.list_filter
        known = [getattr(item, "parameter_name", None) for item in filters]
        for item in filters:
            known += item.parameters() if hasattr(item, "parameters") else []
        return lookup in known

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Machines add."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Verbs change."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Housekeeping deletes."""
        return False
