"""Read-only pages: their rows are written by processes, not by staff."""

from typing import Any

from django.contrib.admin import ModelAdmin, ShowFacets
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.functional import cached_property
from django.utils.text import capfirst

from tasks_admin.lib import counts


class BoundedPaginator(Paginator[Any]):
    """Counts up to `COUNT_BOUND`: the cost of a page does not depend on the table's size."""

    @cached_property
    def count(self) -> int:
        """The number of rows, or the bound if there are more."""
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return counts.bounded_count(rows)


class ReadOnlyAdmin(ModelAdmin[Any]):
    """Staff cannot add, change or delete rows directly."""

    actions_on_bottom = False
    list_per_page = 50
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # facets count the whole table, once for each choice
    paginator = BoundedPaginator

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Allow the parameters of the filters only: other lookups could scan the table."""
        filters: Any = self.list_filter
        known = [getattr(item, "parameter_name", None) for item in filters]
        for item in filters:
            known += item.parameters() if hasattr(item, "parameters") else []
        return lookup in known

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Title the list with the plural of its rows; Django's title asks to select one."""
        title = capfirst(self.opts.verbose_name_plural)
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def has_add_permission(self, request: HttpRequest) -> bool:
        """No: processes add rows."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """No: rows are changed by verbs only."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """No: the dispatcher deletes expired rows."""
        return False
