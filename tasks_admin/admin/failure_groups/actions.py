"""What can be done from a cause's page: each act has an address, and is a POST."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.utils.translation import gettext_lazy as _

from tasks_admin.accounts.forms import ReasonForm
from tasks_admin.admin.shared.confirm import can, current_user, require_verb_post
from tasks_admin.lib.errors import ConsoleError, NotAllowed
from tasks_admin.lib.verbs import EDIT_AND_RETRY, MUTE, REOPEN, RESOLVE, RETRY_FAILED, VERBS, Verb
from tasks_admin.models import FailureGroup, Operation
from tasks_admin.results import failure_groups

ACTS: dict[str, Callable[..., Operation]] = {
    RESOLVE: failure_groups.resolve,
    MUTE: failure_groups.mute,
    REOPEN: failure_groups.reopen,
}


class FailureGroupActionsMixin(ModelAdmin[Any]):
    """Resolve, mute, reopen; retry the group, as it was or edited."""

    def act_urls(self) -> list[Any]:
        """An address for each act."""
        view = self.admin_site.admin_view
        acts = {verb: require_verb_post(verb, self._act(verb)) for verb in ACTS}
        acts["retry"] = require_verb_post(RETRY_FAILED, self.retry)
        acts["edit"] = require_verb_post(EDIT_AND_RETRY, self.edit)
        return [
            path(f"<path:pk>/{name}/", view(act), name=f"tasks_admin_failuregroup_{name}")
            for name, act in acts.items()
        ]

    def group_of(self, request: HttpRequest, pk: str) -> FailureGroup:
        """The cause, for who may look at it."""
        raise NotImplementedError

    def edit(self, request: HttpRequest, pk: str) -> HttpResponse:
        """Queue the group again with other arguments."""
        raise NotImplementedError

    def retry(self, request: HttpRequest, pk: str) -> HttpResponse:
        """Queue the group again."""
        raise NotImplementedError

    def offered(self, request: HttpRequest, group: FailureGroup) -> list[Verb]:
        """The acts that are possible now, and allowed to who looks."""
        return [
            VERBS[v] for v in ACTS if can(request, v) and failure_groups.is_applicable(group, v)
        ]

    def _act(self, verb: str) -> Callable[..., HttpResponse]:
        def view(request: HttpRequest, pk: str) -> HttpResponse:
            group = self.group_of(request, pk)
            form = ReasonForm(request.POST)
            if not form.is_valid():
                messages.error(request, _("Say why: the reason is kept with the operation."))
                return HttpResponseRedirect(group.get_absolute_url())
            try:
                ACTS[verb](group=group, actor=current_user(request), **form.cleaned_data)
            except NotAllowed as error:
                raise PermissionDenied(str(error)) from None
            except ConsoleError as error:
                messages.warning(request, str(error))
            else:
                text = _("This cause is %(state)s now.") % {"state": group.get_state_display()}
                messages.success(request, text)
            return HttpResponseRedirect(group.get_absolute_url())

        return view
