"""Keyset pagination: the cost of a page does not depend on its number, nor on the filters.

With an offset, a database reads the rows that it skips. Here a page begins after the key of the
previous page's last row. Of several filters one (the driving filter) is read from an index, newest
first, and the others are applied to its next `SEARCH_BOUND` rows; the page states when that limit
was reached.
"""

from typing import Any

from django.contrib import messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ValidationError
from django.db.models import Count, Max, Min, Q, QuerySet
from django.http import HttpRequest
from django.utils.dateparse import parse_datetime
from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from tasks_admin.lib import counts
from tasks_admin.lib.conf import settings
from tasks_admin.lib.counts import LowerBound

BEFORE, AFTER = "before", "after"


class KeysetChangeList(ChangeList):
    """Newest first; `?before=KEY` shows older rows, `?after=KEY` newer ones."""

    key, forward = "", False
    #: The keys of the pages with older and newer rows; empty if there is none.
    older = newer = ""
    #: The end of the searched window, in the first of the key fields; None: not limited.
    window_end: Any = None
    model_admin: Any
    #: The number of searched rows, if that limit is the reason why the page is not full.
    searched = 0

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        """Remove the key: links to other filters lead to the first page."""
        for name in (BEFORE, AFTER):
            value = self.params.pop(name, "")
            self.filter_params.pop(name, None)
            if value:
                self.key, self.forward = value, name == AFTER
        return super().get_filters_params(params)

    @cached_property
    def active_filters(self) -> list[Any]:
        """The filters that are set: the most selective ones first, those without an index last."""
        specs: list[Any] = self.filter_specs
        return sorted((spec for spec in specs if spec.is_active()), key=lambda spec: spec.rank)

    @property
    def key_fields(self) -> list[str]:
        """The fields of the order: those of the driving filter's index, then the primary key."""
        filters = self.active_filters
        return [*(filters[0].order if filters else []), "pk"]

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """Newest first."""
        return [f"-{name}" for name in self.key_fields]

    def get_results(self, request: HttpRequest) -> None:
        """Read one page, and count up to the bound."""
        start = self._start(request)
        rows = self._page(start)
        size = self.list_per_page
        more, rows = len(rows) > size, rows[:size]
        if self.forward and start:
            rows.reverse()
        self.result_list = rows
        self.result_count = self._count()
        self.full_result_count = None
        self.show_full_result_count = self.can_show_all = False
        self.show_admin_actions = True
        self.multi_page = bool(start or more)
        self._link(rows, start=start, more=more)

    def _start(self, request: HttpRequest) -> list[Any]:
        """The key after which the page begins; [] for the first page."""
        if not self.key:
            return []
        parts = self.key.split("_")
        try:
            if len(parts) != len(self.key_fields):
                raise ValueError(self.key)
            start: list[Any] = [parse_datetime(part) for part in parts[:-1]]
            start.append(self.opts.pk.to_python(parts[-1]))
            if None in start or not 0 <= start[-1] < 2**63:
                raise ValueError(self.key)
        except (ValueError, ValidationError, OverflowError):
            text = _("This link belongs to another list. The first page is shown instead.")
            messages.warning(request, text)
            return []
        return start

    def _beyond(self, rows: QuerySet[Any], start: list[Any]) -> QuerySet[Any]:
        """The rows after `start`, in the direction of reading."""
        operator = "gt" if self.forward else "lt"
        if not start:
            return rows
        if len(start) == 1:
            return rows.filter(**{f"pk__{operator}": start[0]})
        first = self.key_fields[0]
        tied = Q(**{first: start[0], f"pk__{operator}": start[1]})
        range_ = Q(**{f"{first}__{operator}e": start[0]})  # the condition that an index can use
        return rows.filter(range_, Q(**{f"{first}__{operator}": start[0]}) | tied)

    def _page(self, start: list[Any]) -> list[Any]:
        forward = self.forward and bool(start)
        rows = self._beyond(self.queryset, start) if start else self.queryset
        self.window_end = self._window(start)
        if self.window_end is not None:
            rows = rows.filter(
                **{f"{self.key_fields[0]}__{'lte' if forward else 'gte'}": self.window_end}
            )
        ordering = self.key_fields if forward else [f"-{name}" for name in self.key_fields]
        return list(rows.order_by(*ordering)[: self.list_per_page + 1])

    def _window(self, start: list[Any]) -> Any:
        """The end of the driving filter's next rows that are searched; None: no limit is needed."""
        filters = self.active_filters
        driving = next((spec for spec in filters if not spec.scans), None)
        others = len(filters) - (driving is not None)
        if self.query or not others or self.model_admin.has_common_index(filters):
            return None
        rows = self.root_queryset
        if driving:
            rows = driving.queryset(self._request, rows)
        forward, bound = self.forward and bool(start), settings.SEARCH_BOUND
        ordering = self.key_fields if forward else [f"-{name}" for name in self.key_fields]
        rows = self._beyond(rows, start).order_by(*ordering).values(*self.key_fields)[:bound]
        end = (Max if forward else Min)(self.key_fields[0])
        found = rows.aggregate(end=end, count=Count("pk"))
        return found["end"] if found["count"] == bound else None

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        """All matching rows: the ones that an action on all of them gets."""
        self._request = request
        return super().get_queryset(request, exclude_parameters)

    def _count(self) -> int:
        """The number of matching rows, up to `COUNT_BOUND` or among the newest searched ones."""
        window_end = self.window_end
        if self.key:
            forward, self.forward = self.forward, False
            window_end = self._window([])
            self.forward = forward
        rows = self.queryset.order_by()
        if window_end is not None:
            rows = rows.filter(**{f"{self.key_fields[0]}__gte": window_end})
        count = counts.bounded_count(rows)
        return count if window_end is None else LowerBound(count)

    def _link(self, rows: list[Any], *, start: list[Any], more: bool) -> None:
        """Set the keys of the previous and the next page."""
        forward = self.forward and bool(start)
        if rows:
            self.older = self._key(rows[-1]) if more or forward else ""
            self.newer = self._key(rows[0]) if start and (more or not forward) else ""
        if not more and self.window_end is not None:
            self.searched = settings.SEARCH_BOUND
            if forward:
                self.newer = self._end()
            else:
                self.older = self._end()

    def _key(self, row: Any) -> str:
        values = [getattr(row, name) for name in self.key_fields]
        return "_".join(v.isoformat() if hasattr(v, "isoformat") else str(v) for v in values)

    def _end(self) -> str:
        """The key at the end of the searched rows."""
        if len(self.key_fields) == 1:
            return str(self.window_end)
        return f"{self.window_end.isoformat()}_{0 if not self.forward else 2**63 - 1}"

    def link_to(self, name: str, key: str) -> str:
        """The query string of another page of this list."""
        return self.get_query_string({name: key})

    @property
    def older_link(self) -> str:
        """The query string of the page with older rows; empty on the last page."""
        return self.link_to(BEFORE, self.older) if self.older else ""

    @property
    def first_page(self) -> str:
        """The query string of the first page."""
        return self.get_query_string().removeprefix("?")

    @property
    def newer_link(self) -> str:
        """The query string of the page with newer rows; empty on the first page."""
        return self.link_to(AFTER, self.newer) if self.newer else ""
