"""The filters of the list of causes."""

from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib.admin import ModelAdmin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from tasks_admin.admin.shared.filters import ChoiceFilter
from tasks_admin.models import FailureGroup, FailureGroupState

#: Tasks that the filter offers; the search finds the others.
MOST_TASKS = 50


class FailureGroupStateFilter(ChoiceFilter):
    """By what staff decided; what is muted shows only when it is asked for."""

    title = _("state")
    parameter_name = field = "state"

    def lookups(
        self, request: HttpRequest, model_admin: "ModelAdmin[Any]"
    ) -> Iterable[tuple[str, Any]]:
        """The states, and all of them."""
        return [*FailureGroupState.choices, ("all", _("All"))]

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Say what is shown by default."""
        first, *others = super().choices(changelist)
        yield first | {"display": _("All but muted")}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Leave muted ones out, unless told otherwise."""
        if not self.value():
            return queryset.filter(state__in=[FailureGroupState.OPEN, FailureGroupState.RESOLVED])
        if self.value() == "all":
            return queryset
        return super().queryset(request, queryset)


class FailureGroupTaskFilter(ChoiceFilter):
    """By task."""

    title = _("task")
    parameter_name = field = "task"

    def lookups(
        self, request: HttpRequest, model_admin: "ModelAdmin[Any]"
    ) -> Iterable[tuple[str, Any]]:
        """The tasks that failed: read off an index of the causes, which are few."""
        tasks = FailureGroup.objects.order_by("task").values_list("task", flat=True).distinct()
        return [(name, name) for name in tasks[:MOST_TASKS] if name]
