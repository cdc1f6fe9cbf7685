"""Periodic tasks: what beat queues, when it did and will, and what staff can do about it."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from tasks_admin import periodic
from tasks_admin.accounts.forms import ReasonForm
from tasks_admin.admin.shared.confirm import can, current_user
from tasks_admin.admin.shared.readonly import ReadOnlyAdmin
from tasks_admin.lib.errors import ConsoleError, NotAllowed
from tasks_admin.lib.verbs import DISABLE_PERIODIC, ENABLE_PERIODIC, RUN_PERIODIC, VERBS
from tasks_admin.models import PeriodicTask

ACTS = {
    RUN_PERIODIC: periodic.run,
    ENABLE_PERIODIC: periodic.enable,
    DISABLE_PERIODIC: periodic.disable,
}
WARNINGS = {
    RUN_PERIODIC: _("It is queued once, now, with the arguments of its schedule."),
    ENABLE_PERIODIC: _("Beat queues it again at its times."),
    DISABLE_PERIODIC: _("Beat queues it no more, until it is enabled."),
}


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(ReadOnlyAdmin):
    """A page of all periodic tasks."""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show what beat told of its schedule."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        overview = periodic.overview()
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": str(capfirst(self.opts.verbose_name_plural)),
            "opts": self.opts,
            "overview": overview,
            "rows": [(seen, self._acts(request, seen)) for seen in overview.tasks],
            **(extra_context or {}),
        }
        template = "admin/tasks_admin/periodictask/change_list.html"
        return TemplateResponse(request, template, context)

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """There is no page of one: the list says all."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return HttpResponseRedirect(reverse("admin:tasks_admin_periodictask_changelist"))

    def get_object(self, *args: Any, **kwargs: Any) -> None:
        """There is no history or form of one."""

    def get_urls(self) -> list[Any]:
        """Add an address for each act."""
        view = self.admin_site.admin_view(self.act)
        return [
            path("act/<slug:verb>/", view, name="tasks_admin_periodictask_act"),
            *super().get_urls(),
        ]

    def act(self, request: HttpRequest, verb: str) -> HttpResponse:
        """Ask on a GET; do it on a POST."""
        if verb not in ACTS:
            raise Http404
        if not (self.has_view_permission(request) and can(request, verb)):
            raise PermissionDenied
        data = request.POST if request.method == "POST" else request.GET
        name = data.get("name", "").replace("\x00", "")
        back = reverse("admin:tasks_admin_periodictask_changelist")
        form = ReasonForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            return HttpResponseRedirect(self._do(request, verb, name, form) or back)
        context = {
            **self.admin_site.each_context(request),
            "title": str(VERBS[verb].label),
            "opts": self.opts,
            "name": name,
            "verb": VERBS[verb],
            "form": form,
            "warning": WARNINGS[verb],
            "list": back,
            "back": back,
        }
        return TemplateResponse(request, "admin/tasks_admin/queue/act.html", context)

    def _do(self, request: HttpRequest, verb: str, name: str, form: ReasonForm) -> str:
        """Where it leads; empty when it was refused."""
        reason = form.cleaned_data["reason"]
        try:
            operation = ACTS[verb](name=name, actor=current_user(request), reason=reason)
        except NotAllowed as error:
            raise PermissionDenied(str(error)) from None
        except ConsoleError as error:
            messages.error(request, str(error))
            return ""
        return operation.get_absolute_url()

    def _acts(self, request: HttpRequest, seen: periodic.Seen) -> list[tuple[str, str]]:
        """What can be done with one, and at which address."""
        verbs = [RUN_PERIODIC] if seen.entry is not None else []
        if seen.enabled is not None:
            verbs.append(DISABLE_PERIODIC if seen.enabled else ENABLE_PERIODIC)
        return [
            (str(VERBS[verb].label), reverse("admin:tasks_admin_periodictask_act", args=[verb]))
            for verb in verbs
            if can(request, verb)
        ]
