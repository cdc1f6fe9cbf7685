"""The filters of the list of failure groups."""

from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib.admin import ModelAdmin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from tasks_admin.admin.shared.filters import ChoiceFilter
from tasks_admin.models import FailureGroup, FailureGroupState

#: Tasks that the filter lists; the search finds the others.
MAX_TASKS = 50


class FailureGroupStateFilter(ChoiceFilter):
    """Filters by state; muted groups are shown only on request."""

    title = _("status")
    parameter_name = field = "state"

    def lookups(
        self, request: HttpRequest, model_admin: "ModelAdmin[Any]"
    ) -> Iterable[tuple[str, Any]]:
        """The states, and all of them."""
        states = [(state.value, capfirst(state.label)) for state in FailureGroupState]
        return [*states, ("all", _("All"))]

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Name the default."""
        first, *others = super().choices(changelist)
        yield first | {"display": _("All except muted")}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Exclude muted groups unless a state is selected."""
        if not self.value():
            return queryset.filter(state__in=[FailureGroupState.OPEN, FailureGroupState.RESOLVED])
        if self.value() == "all":
            return queryset
        return super().queryset(request, queryset)


class FailureGroupTaskFilter(ChoiceFilter):
    """Filters by task."""

    title = _("task")
    parameter_name = field = "task"

    def lookups(
        self, request: HttpRequest, model_admin: "ModelAdmin[Any]"
    ) -> Iterable[tuple[str, Any]]:
        """The tasks that failed, read from an index of the groups, which are few."""
        tasks = FailureGroup.objects.order_by("task").values_list("task", flat=True).distinct()
        return [(name, name) for name in tasks[:MAX_TASKS] if name]
