"""The page of periodic tasks, and the actions on them."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.text import capfirst

from tasks_admin import periodic
from tasks_admin.admin.shared.actions import action_page, to_operation
from tasks_admin.admin.shared.readonly import ReadOnlyAdmin
from tasks_admin.admin.shared.responses import can, current_user, require_verb
from tasks_admin.lib.verbs import DISABLE_PERIODIC, ENABLE_PERIODIC, RUN_PERIODIC, VERBS
from tasks_admin.models import PeriodicTask


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(ReadOnlyAdmin):
    """The list of all periodic tasks."""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show all periodic tasks, and whether beat is running."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        overview = periodic.overview()
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": str(capfirst(self.opts.verbose_name_plural)),
            "opts": self.opts,
            "overview": overview,
            "rows": [(task, self._links(request, task)) for task in overview.tasks],
            **(extra_context or {}),
        }
        template = "admin/tasks_admin/periodictask/change_list.html"
        return TemplateResponse(request, template, context)

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Redirect to the list: a periodic task has no page of its own."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return HttpResponseRedirect(reverse("admin:tasks_admin_periodictask_changelist"))

    def get_object(self, *args: Any, **kwargs: Any) -> None:
        """Return None: a periodic task has neither a history nor a form."""

    def get_urls(self) -> list[Any]:
        """Add the URL of the actions."""
        view = self.admin_site.admin_view(self.action)
        return [
            path("action/<slug:verb>/", view, name="tasks_admin_periodictask_action"),
            *super().get_urls(),
        ]

    def action(self, request: HttpRequest, verb: str) -> HttpResponse:
        """Show what an action will do on GET; perform it on POST."""
        if verb not in periodic.ACTIONS:
            raise Http404
        if not self.has_view_permission(request):
            raise PermissionDenied
        return require_verb(verb, self._action)(request, verb)

    def _action(self, request: HttpRequest, verb: str) -> HttpResponse:
        data = request.POST if request.method == "POST" else request.GET
        name = data.get("name", "").replace("\x00", "")
        return action_page(
            self,
            request,
            verb=verb,
            act=lambda confirmation: periodic.ACTIONS[verb](
                name=name, actor=current_user(request), reason=confirmation.reason
            ),
            respond=to_operation(request),
            back=reverse("admin:tasks_admin_periodictask_changelist"),
            subject=name,
            hidden=[("name", name)],
        )

    def _links(
        self, request: HttpRequest, task: periodic.PeriodicTaskStatus
    ) -> list[tuple[str, str]]:
        """Return the text and the URL of each action that applies to a task."""
        verbs = [RUN_PERIODIC] if task.entry is not None else []
        if task.enabled is not None:
            verbs.append(DISABLE_PERIODIC if task.enabled else ENABLE_PERIODIC)
        return [
            (str(VERBS[verb].label), reverse("admin:tasks_admin_periodictask_action", args=[verb]))
            for verb in verbs
            if can(request, verb)
        ]
