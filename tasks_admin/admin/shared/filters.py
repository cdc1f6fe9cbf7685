"""Filters with known choices: no `SELECT DISTINCT` over the table."""

from collections.abc import Iterable
from typing import Any

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from tasks_admin.lib.verbs import VERBS
from tasks_admin.models.operations import OperationState


class ChoiceFilter(SimpleListFilter):
    """Filters one field by one of a few known values."""

    template = "admin/tasks_admin/filter_choice.html"
    field = ""

    def is_active(self) -> bool:
        """Whether a value is selected."""
        return bool(self.value())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows with the selected value; an unknown value matches no row."""
        value = (self.value() or "").replace("\x00", "")
        return queryset.filter(**{self.field: value}) if self.value() else queryset


class VerbFilter(ChoiceFilter):
    """Filters operations by verb."""

    title = _("action")
    parameter_name = field = "verb"

    def lookups(
        self, request: HttpRequest, model_admin: "ModelAdmin[Any]"
    ) -> Iterable[tuple[str, Any]]:
        """The verbs in the order of their table."""
        return [(verb.name, verb.title) for verb in VERBS.values()]


class StateFilter(ChoiceFilter):
    """Filters operations by state."""

    title = _("status")
    parameter_name = field = "state"

    def lookups(
        self, request: HttpRequest, model_admin: "ModelAdmin[Any]"
    ) -> Iterable[tuple[str, Any]]:
        """The states."""
        return [(state.value, capfirst(state.label)) for state in OperationState]
