"""Lists that page by key: the first page, the thousandth and a rare filter's cost the same.

An offset makes a database count what it skips. Here a page begins where the last one ended. When
several conditions hold at once, one of them (the driver) is read off an index, newest first, and
the others are looked for among its next `SEARCH_BOUND` rows; the page says when that was not all.
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


class KeyedChangeList(ChangeList):
    """Newest first; `?before=KEY` is further back, `?after=KEY` nearer to now."""

    key, forward = "", False
    #: The keys of the pages further back and nearer to now.
    older = newer = ""
    limit: Any = None
    model_admin: Any
    #: How many rows were looked through in vain, when that is why the page is not full.
    looked = 0

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        """Take the key out: links to other filters begin at the first page again."""
        for name in (BEFORE, AFTER):
            value = self.params.pop(name, "")
            self.filter_params.pop(name, None)
            if value:
                self.key, self.forward = value, name == AFTER
        return super().get_filters_params(params)

    @cached_property
    def used(self) -> list[Any]:
        """The filters that are set, the one first that leaves the fewest rows, as a rule."""
        specs: list[Any] = self.filter_specs
        chosen = [spec for spec in specs if spec.chosen()]
        return sorted(chosen, key=lambda spec: spec.rank)  # those that scan come last

    @property
    def fields(self) -> list[str]:
        """What the rows are ordered by: the driver's own order, then the key."""
        return [*(self.used[0].order if self.used else []), "pk"]

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """Newest first."""
        return [f"-{name}" for name in self.fields]

    def get_results(self, request: HttpRequest) -> None:
        """Read one page, and count as far as is cheap."""
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
        """The key that the page begins beyond; [] for the first page."""
        if not self.key:
            return []
        parts = self.key.split("_")
        try:
            if len(parts) != len(self.fields):
                raise ValueError(self.key)
            start: list[Any] = [parse_datetime(part) for part in parts[:-1]]
            start.append(self.opts.pk.to_python(parts[-1]))
            if None in start or not 0 <= start[-1] < 2**63:
                raise ValueError(self.key)
        except (ValueError, ValidationError, OverflowError):
            text = _("This page belongs to another list. Here is the first page of this one.")
            messages.warning(request, text)
            return []
        return start

    def _beyond(self, rows: QuerySet[Any], start: list[Any]) -> QuerySet[Any]:
        """Keep what comes after `start`, in the direction of reading."""
        way = "gt" if self.forward else "lt"
        if not start:
            return rows
        if len(start) == 1:
            return rows.filter(**{f"pk__{way}": start[0]})
        first = self.fields[0]
        tied = Q(**{first: start[0], f"pk__{way}": start[1]})
        range_ = Q(**{f"{first}__{way}e": start[0]})  # what an index can begin at
        return rows.filter(range_, Q(**{f"{first}__{way}": start[0]}) | tied)

    def _page(self, start: list[Any]) -> list[Any]:
        forward = self.forward and bool(start)
        rows = self._beyond(self.queryset, start) if start else self.queryset
        self.limit = self._window(start)
        if self.limit is not None:
            rows = rows.filter(**{f"{self.fields[0]}__{'lte' if forward else 'gte'}": self.limit})
        ordering = self.fields if forward else [f"-{name}" for name in self.fields]
        return list(rows.order_by(*ordering)[: self.list_per_page + 1])

    def _window(self, start: list[Any]) -> Any:
        """Where the driver's next rows end that are looked through; None where all of them are."""
        driver = next((spec for spec in self.used if not spec.scans), None)
        alone = len(self.used) - (driver is not None) == 0
        if self.query or alone or self.model_admin.at_once(self.used):
            return None
        rows = self.root_queryset
        if driver:
            rows = driver.queryset(self._request, rows)
        forward, bound = self.forward and bool(start), settings.SEARCH_BOUND
        ordering = self.fields if forward else [f"-{name}" for name in self.fields]
        rows = self._beyond(rows, start).order_by(*ordering).values(*self.fields)[:bound]
        end = (Max if forward else Min)(self.fields[0])
        found = rows.aggregate(end=end, count=Count("pk"))
        return found["end"] if found["count"] == bound else None

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        """All rows that match, which is what an action means by all."""
        self._request = request
        return super().get_queryset(request, exclude_parameters)

    def _count(self) -> int:
        """How many match, up to `COUNT_BOUND`, or among the newest that were looked through."""
        limit = self.limit
        if self.key:
            forward, self.forward = self.forward, False
            limit = self._window([])
            self.forward = forward
        rows = self.queryset.order_by()
        if limit is not None:
            rows = rows.filter(**{f"{self.fields[0]}__gte": limit})
        count = counts.bounded_count(rows)
        return count if limit is None else LowerBound(count)

    def _link(self, rows: list[Any], *, start: list[Any], more: bool) -> None:
        """The keys of the pages on either side."""
        forward = self.forward and bool(start)
        if rows:
            self.older = self._key(rows[-1]) if more or forward else ""
            self.newer = self._key(rows[0]) if start and (more or not forward) else ""
        if not more and self.limit is not None:
            self.looked = settings.SEARCH_BOUND
            if forward:
                self.newer = self._end()
            else:
                self.older = self._end()

    def _key(self, row: Any) -> str:
        values = [getattr(row, name) for name in self.fields]
        return "_".join(v.isoformat() if hasattr(v, "isoformat") else str(v) for v in values)

    def _end(self) -> str:
        """The key at the end of what was looked through."""
        if len(self.fields) == 1:
            return str(self.limit)
        return f"{self.limit.isoformat()}_{0 if not self.forward else 2**63 - 1}"

    def link_to(self, name: str, key: str) -> str:
        """The address of another page of this list."""
        return self.get_query_string({name: key})

    @property
    def older_link(self) -> str:
        """Further back; empty on the last page."""
        return self.link_to(BEFORE, self.older) if self.older else ""

    @property
    def first_page(self) -> str:
        """The query of the first page."""
        return self.get_query_string().removeprefix("?")

    @property
    def newer_link(self) -> str:
        """Nearer to now; empty on the first page."""
        return self.link_to(AFTER, self.newer) if self.newer else ""
