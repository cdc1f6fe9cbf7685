"""Filters whose choices are known beforehand: no `SELECT DISTINCT` over the results."""

from collections.abc import Iterable
from typing import Any

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from tasks_admin.lib.verbs import VERBS
from tasks_admin.models.operations import OperationState


class ChoiceFilter(SimpleListFilter):
    """Filter one field by one of a few known values."""

    field = ""

    def chosen(self) -> bool:
        """Whether it is set."""
        return bool(self.value())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows with the chosen value; any other value matches nothing."""
        value = (self.value() or "").replace("\x00", "")
        return queryset.filter(**{self.field: value}) if self.value() else queryset


class VerbFilter(ChoiceFilter):
    """By what was done."""

    title = _("what")
    parameter_name = field = "verb"

    def lookups(
        self, request: HttpRequest, model_admin: "ModelAdmin[Any]"
    ) -> Iterable[tuple[str, Any]]:
        """The table of verbs."""
        return [(verb.name, verb.title) for verb in VERBS.values()]


class StateFilter(ChoiceFilter):
    """By where an operation stands."""

    title = _("state")
    parameter_name = field = "state"

    def lookups(
        self, request: HttpRequest, model_admin: "ModelAdmin[Any]"
    ) -> Iterable[tuple[str, Any]]:
        """The states."""
        return OperationState.choices
