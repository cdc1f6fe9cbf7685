"""Operations: the list, and the page of one operation with its progress, targets and actions."""

import contextlib
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.utils import quote, unquote
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, path, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from tasks_admin.admin.exchange import OperationExchangeMixin
from tasks_admin.admin.operations.actions import OperationActionsMixin
from tasks_admin.admin.shared.filters import StateFilter, VerbFilter
from tasks_admin.admin.shared.readonly import ReadOnlyAdmin
from tasks_admin.admin.shared.responses import can
from tasks_admin.lib.verbs import EDIT_AND_RETRY, RETRY_FAILED, TargetType
from tasks_admin.models import FailureGroup, Operation, Queue, Result, Target, Worker
from tasks_admin.operations import dispatchers, progress


def link_targets(request: HttpRequest, operation: Operation, targets: list[Target]) -> None:
    """Set the `url` of each target's page, if the user has the permission to view it."""
    models: dict[TargetType, type[Model]] = {
        TargetType.USER: get_user_model(),
        TargetType.RESULT: Result,
        TargetType.FAILURE_GROUP: FailureGroup,
        TargetType.WORKER: Worker,
        TargetType.QUEUE: Queue,
    }
    if not (model := models.get(operation.target_type)):
        return
    opts = model._meta
    if not request.user.has_perm(f"{opts.app_label}.view_{opts.model_name}"):
        return
    for target in targets:
        if operation.target_type == TargetType.RESULT:
            query = urlencode({"id": target.subject})
            target.url = f"{reverse('admin:tasks_admin_result_of')}?{query}"  # type: ignore[attr-defined]
        elif target.exists:  # type: ignore[attr-defined]
            page = f"admin:{opts.app_label}_{opts.model_name}_change"
            with contextlib.suppress(NoReverseMatch):  # the project has no such admin page
                target.url = reverse(page, args=[quote(target.subject)])  # type: ignore[attr-defined]


@admin.register(Operation)
class OperationAdmin(OperationActionsMixin, OperationExchangeMixin, ReadOnlyAdmin):
    """The operations, newest first."""

    list_display = ("id", "title", "actor_name", "created_at", "state", "total", "outcome")
    list_display_links = ("id", "title")
    list_filter = (StateFilter, VerbFilter)
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("actor_name", "reason")

    @admin.display(description=_("number"))
    def number(self, operation: Operation) -> str:
        """The number of the operation, as in its title."""
        return f"#{operation.pk}"

    @admin.display(description=_("action"))
    def title(self, operation: Operation) -> str:
        """The title of the verb."""
        return operation.title

    @admin.display(description=_("outcome"))
    def outcome(self, operation: Operation) -> str:
        """The number of targets by state, as text."""
        return progress.sentence(operation.counts())

    def get_urls(self) -> list[Any]:
        """Add the progress that the page reloads, and a URL for each action."""
        view = self.admin_site.admin_view
        ours = [
            path("<path:pk>/progress/", self.live, name="tasks_admin_operation_progress"),
            path(
                "<path:pk>/target/<int:target>/",
                view(self.result),
                name="tasks_admin_operation_result",
            ),
            path("of/<uuid:key>/", view(self.of), name="tasks_admin_operation_of"),
            *self.action_urls(),
        ]
        return ours + super().get_urls()

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show an operation."""
        operation = self.operation_of(request, unquote(object_id))
        context = {
            **self.admin_site.each_context(request),
            **self._context(request, operation),
            "title": str(operation),
            "opts": self.opts,
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/tasks_admin/operation/change_form.html", context)

    def live(self, request: HttpRequest, pk: str) -> HttpResponse:
        """The progress. After the session has ended, reload the page, which leads to the login."""
        if not self.admin_site.has_permission(request) and "HX-Request" in request.headers:
            return HttpResponse(headers={"HX-Refresh": "true"})
        response: HttpResponse = self.admin_site.admin_view(self.progress)(request, pk=pk)
        return response

    @method_decorator(require_safe)
    def progress(self, request: HttpRequest, pk: str) -> HttpResponse:
        """The part of the page that changes."""
        operation = self.operation_of(request, pk)
        context = self._context(request, operation)
        response = TemplateResponse(request, "admin/tasks_admin/operation/progress.html", context)
        changing = context["progress"].changing
        if not changing:  # the offered actions have changed too: let htmx reload the page
            response["HX-Refresh"] = "true"
        return response

    @method_decorator(require_safe)
    def result(self, request: HttpRequest, pk: str, target: int) -> HttpResponse:
        """Redirect to the result of a target's newest attempt."""
        targets = self.operation_of(request, pk).targets.select_related("operation")
        task_id = get_object_or_404(targets, pk=target).task_id
        return redirect(f"{reverse('admin:tasks_admin_result_of')}?{urlencode({'id': task_id})}")

    @method_decorator(require_safe)
    def of(self, request: HttpRequest, key: Any) -> HttpResponse:
        """Redirect to the operation whose key task ids begin with."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return redirect(get_object_or_404(Operation, key=key))

    def _context(self, request: HttpRequest, operation: Operation) -> dict[str, Any]:
        targets = progress.page(
            operation,
            state=request.GET.get("state", ""),
            after=request.GET.get("after", ""),
            subject=request.GET.get("q", "").replace("\x00", "").strip(),
        )
        link_targets(request, operation, targets.targets)
        return {
            "operation": operation,
            "after": request.GET.get("after", ""),
            "progress": progress.of(operation),
            "targets": targets,
            "actions": self.offered(request, operation),
            "may_retry": can(request, RETRY_FAILED) and operation.retryable,
            "may_edit": can(request, EDIT_AND_RETRY) and operation.retryable,
            "may_export": self.may_export(request),
            "undispatched": not operation.is_finished and dispatchers.none_online(),
        }

    def operation_of(self, request: HttpRequest, pk: str) -> Operation:
        if not self.has_view_permission(request):
            raise PermissionDenied
        operation = self.get_object(request, pk)
        if operation is None:
            raise Http404
        return operation  # type: ignore[no-any-return]
