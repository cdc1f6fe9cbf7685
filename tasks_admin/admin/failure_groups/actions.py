"""The actions of a failure group's page: each has a URL, which asks on GET and acts on POST."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.utils.translation import gettext_lazy as _

from tasks_admin.admin.shared.actions import action_page
from tasks_admin.admin.shared.responses import can, require_verb
from tasks_admin.lib.verbs import EDIT_AND_RETRY, RETRY_FAILED, VERBS, Verb
from tasks_admin.models import FailureGroup
from tasks_admin.results import failure_groups


class FailureGroupActionsMixin(ModelAdmin[Any]):
    """Resolve, mute, reopen; retry all failed tasks of the group, with or without an edit."""

    def action_urls(self) -> list[Any]:
        """A URL for each action."""
        view = self.admin_site.admin_view
        actions = {verb: require_verb(verb, self._view(verb)) for verb in failure_groups.ACTIONS}
        actions["retry"] = require_verb(RETRY_FAILED, self.retry)
        actions["edit"] = require_verb(EDIT_AND_RETRY, self.edit)
        return [
            path(f"<path:pk>/{name}/", view(action), name=f"tasks_admin_failuregroup_{name}")
            for name, action in actions.items()
        ]

    def group_of(self, request: HttpRequest, pk: str) -> FailureGroup:
        """The group; 403 without the permission to view it, 404 if it does not exist."""
        raise NotImplementedError

    def edit(self, request: HttpRequest, pk: str) -> HttpResponse:
        """Queue the failed tasks of the group again with other arguments."""
        raise NotImplementedError

    def retry(self, request: HttpRequest, pk: str) -> HttpResponse:
        """Queue the failed tasks of the group again."""
        raise NotImplementedError

    def offered(self, request: HttpRequest, group: FailureGroup) -> list[Verb]:
        """The actions that apply now and that the user has the permission for."""
        applicable = (
            verb for verb in failure_groups.ACTIONS if failure_groups.is_applicable(group, verb)
        )
        return [VERBS[verb] for verb in applicable if can(request, verb)]

    def _view(self, verb: str) -> Callable[..., HttpResponse]:
        def view(request: HttpRequest, pk: str) -> HttpResponse:
            group = self.group_of(request, pk)
            return action_page(
                self,
                request,
                verb=verb,
                act=lambda confirmation: failure_groups.ACTIONS[verb](
                    group=group, actor=confirmation.actor, reason=confirmation.reason
                ),
                respond=lambda _record: _respond(request, group),
                back=group.get_absolute_url(),
                subject=str(group),
            )

        return view


def _respond(request: HttpRequest, group: FailureGroup) -> HttpResponse:
    text = _("The failure group is now %(state)s.") % {"state": group.get_state_display()}
    messages.success(request, text)
    return HttpResponseRedirect(group.get_absolute_url())
