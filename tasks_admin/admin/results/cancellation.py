"""The actions that revoke waiting tasks and terminate running ones."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from tasks_admin.admin.shared.confirm import confirm_action
from tasks_admin.admin.shared.responses import can
from tasks_admin.lib.verbs import REVOKE, TERMINATE, VERBS
from tasks_admin.results import cancellation


class CancellationMixin(ModelAdmin[Any]):
    """Adds the actions to the list of results."""

    @admin.action(description=VERBS[REVOKE].label, permissions=[REVOKE])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Revoke the selected tasks."""
        return confirm_action(
            self,
            request,
            verb=REVOKE,
            select=lambda: cancellation.select(queryset),
            act=lambda confirmation: cancellation.revoke(
                results=queryset, confirmation=confirmation
            ),
        )

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Whether the action is offered."""
        return can(request, REVOKE)

    @admin.action(description=VERBS[TERMINATE].label, permissions=[TERMINATE])
    def terminate(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Terminate the selected tasks that are running."""
        return confirm_action(
            self,
            request,
            verb=TERMINATE,
            select=lambda: cancellation.select_running(queryset),
            act=lambda confirmation: cancellation.terminate(
                results=queryset, confirmation=confirmation
            ),
        )

    def has_terminate_permission(self, request: HttpRequest) -> bool:
        """Whether the action is offered."""
        return can(request, TERMINATE)
