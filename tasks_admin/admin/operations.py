"""Operations: the list, and the page of one: progress, targets, pause, resume, abort."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe

from tasks_admin import operations, progress
from tasks_admin.admin.confirm import actor_of, may
from tasks_admin.admin.exchange import OperationExchange
from tasks_admin.admin.filters import StateFilter, VerbFilter
from tasks_admin.admin.readonly import ReadOnlyAdmin
from tasks_admin.errors import ConsoleError, NotAllowed
from tasks_admin.forms import ReasonForm
from tasks_admin.models import Operation

ACTS: dict[str, Callable[..., Operation]] = {
    "pause": operations.pause,
    "resume": operations.resume,
    "abort": operations.abort,
}


@admin.register(Operation)
class OperationAdmin(OperationExchange, ReadOnlyAdmin):
    """What was done, newest first."""

    list_display = ("pk", "title", "actor_name", "created_at", "state", "total", "outcome")
    list_display_links = ("pk", "title")
    list_filter = (StateFilter, VerbFilter)
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("actor_name", "reason")

    @admin.display(description=_("what"))
    def title(self, operation: Operation) -> str:
        """The verb, for people."""
        return operation.title

    @admin.display(description=_("outcome"))
    def outcome(self, operation: Operation) -> str:
        """Targets by state, in words."""
        return progress.sentence(operation.counts())

    def get_urls(self) -> list[Any]:
        """Add the progress that the page reloads, and an address for each act."""
        view = self.admin_site.admin_view
        ours = [
            path("<path:pk>/progress/", view(self.progress), name="tasks_admin_operation_progress"),
            path(
                "<path:pk>/target/<int:target>/",
                view(self.result),
                name="tasks_admin_operation_result",
            ),
            *(
                path(
                    f"<path:pk>/{verb}/",
                    view(self._act(verb)),
                    name=f"tasks_admin_operation_{verb}",
                )
                for verb in ACTS
            ),
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
        operation = self._operation(request, unquote(object_id))
        context = {
            **self.admin_site.each_context(request),
            **self._context(request, operation),
            "title": str(operation),
            "opts": self.opts,
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/tasks_admin/operation/change_form.html", context)

    @method_decorator(require_safe)
    def progress(self, request: HttpRequest, pk: str) -> HttpResponse:
        """The part of the page that changes."""
        operation = self._operation(request, pk)
        context = self._context(request, operation)
        answer = TemplateResponse(request, "admin/tasks_admin/operation/progress.html", context)
        if operation.over:  # what can be done has changed too: let htmx load the whole page
            answer["HX-Refresh"] = "true"
        return answer

    @method_decorator(require_safe)
    def result(self, request: HttpRequest, pk: str, target: int) -> HttpResponse:
        """Go to the result of a target's newest attempt."""
        targets = self._operation(request, pk).targets.select_related("operation")
        task_id = get_object_or_404(targets, pk=target).task_id
        return redirect(f"{reverse('admin:tasks_admin_result_of')}?{urlencode({'id': task_id})}")

    def _context(self, request: HttpRequest, operation: Operation) -> dict[str, Any]:
        return {
            "operation": operation,
            "progress": progress.of(operation),
            "targets": progress.page(
                operation,
                state=request.GET.get("state", ""),
                after=request.GET.get("after", ""),
                subject=request.GET.get("q", "").replace("\x00", "").strip(),
            ),
            "acts": [verb for verb in ACTS if self._offers(request, operation, verb)],
        }

    def _offers(self, request: HttpRequest, operation: Operation, verb: str) -> bool:
        return may(request, verb) and operations.can(operation, verb)

    def _operation(self, request: HttpRequest, pk: str) -> Operation:
        if not self.has_view_permission(request):
            raise PermissionDenied
        operation = self.get_object(request, pk)
        if operation is None:
            raise Http404
        return operation  # type: ignore[no-any-return]

    def _act(self, verb: str) -> Callable[..., HttpResponse]:
        @require_POST
        def view(request: HttpRequest, pk: str) -> HttpResponse:
            operation = self._operation(request, pk)
            form = ReasonForm(request.POST)
            if not form.is_valid():
                messages.error(request, _("Say why: the reason is kept with the operation."))
                return HttpResponseRedirect(operation.get_absolute_url())
            try:
                ACTS[verb](operation=operation, actor=actor_of(request), **form.cleaned_data)
            except NotAllowed as error:
                raise PermissionDenied(str(error)) from None
            except ConsoleError as error:
                messages.warning(request, str(error))
            else:
                operation.refresh_from_db()
                messages.success(request, f"{operation}: {operation.get_state_display()}")
            return HttpResponseRedirect(operation.get_absolute_url())

        return view
