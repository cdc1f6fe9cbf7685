"""The action that revokes what waits."""

from functools import partial
from typing import Any

from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from tasks_admin import revokes
from tasks_admin.admin.confirm import actor_of, confirmed, may
from tasks_admin.verbs import REVOKE, VERBS


class Revoking(ModelAdmin[Any]):
    """Adds the action to a list of results."""

    @admin.action(description=VERBS[REVOKE].label, permissions=[REVOKE])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Keep the selected tasks from running."""
        return confirmed(
            self,
            request,
            verb=REVOKE,
            select=lambda: revokes.select(queryset),
            act=partial(revokes.revoke, results=queryset, actor=actor_of(request)),
        )

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Whether the action is offered."""
        return may(request, REVOKE)
