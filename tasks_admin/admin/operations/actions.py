"""The actions of an operation's page: each has a URL; GET shows the action, POST performs it."""

import csv
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.http.response import StreamingHttpResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_safe

from tasks_admin import operations, results
from tasks_admin.admin.exchange.cells import escape_formula
from tasks_admin.admin.results.editing import edit_and_retry_view
from tasks_admin.admin.results.pages import preview
from tasks_admin.admin.shared.actions import action_page
from tasks_admin.admin.shared.confirm import confirm_action
from tasks_admin.admin.shared.responses import can, current_user, require_verb
from tasks_admin.lib.masks import mask_text
from tasks_admin.lib.verbs import APPROVE, EDIT_AND_RETRY, RETRY_FAILED, THROTTLE, VERBS, Verb
from tasks_admin.models import Operation
from tasks_admin.models.targets import TargetState
from tasks_admin.operations import Confirmation

COLUMNS = ("subject", "state", "reason", "detail", "tries", "crashes", "started_at", "finished_at")


class Echo:
    """A file-like object that returns each line instead of storing it."""

    def write(self, line: str) -> str:
        """Return the line."""
        return line


class OperationActionsMixin(ModelAdmin[Any]):
    """Pause, resume, abort, throttle, approve; retry failed targets; export targets as CSV."""

    def action_urls(self) -> list[Any]:
        """A URL for each action."""
        view = self.admin_site.admin_view
        actions = {verb: require_verb(verb, self._view(verb)) for verb in operations.ACTIONS}
        actions["retry"] = require_verb(RETRY_FAILED, self.retry)
        actions["edit"] = require_verb(EDIT_AND_RETRY, self.edit)
        return [
            path("<path:pk>/targets.csv", view(self.csv), name="tasks_admin_operation_csv"),
            *(
                path(f"<path:pk>/{name}/", view(action), name=f"tasks_admin_operation_{name}")
                for name, action in actions.items()
            ),
        ]

    def operation_of(self, request: HttpRequest, pk: str) -> Operation:
        """The operation; 403 without the view permission, 404 if it does not exist."""
        raise NotImplementedError

    def offered(self, request: HttpRequest, operation: Operation) -> list[Verb]:
        """The actions that apply now and for which the user has the permission."""
        own = operation.actor_id == current_user(request).pk
        return [
            VERBS[verb]
            for verb in operations.ACTIONS
            if can(request, verb)
            and operations.is_applicable(operation, verb)
            and not (own and verb == APPROVE)
        ]

    def may_export(self, request: HttpRequest) -> bool:
        """Whether the user may export the targets."""
        return request.user.has_perm("tasks_admin.export_operations")

    def _view(self, verb: str) -> Callable[..., HttpResponse]:
        def view(request: HttpRequest, pk: str) -> HttpResponse:
            operation = self.operation_of(request, pk)
            return action_page(
                self,
                request,
                verb=verb,
                act=partial(_act, verb, operation),
                respond=partial(_respond, request, operation),
                back=operation.get_absolute_url(),
                subject=str(operation),
            )

        return view

    def retry(self, request: HttpRequest, pk: str) -> HttpResponse:
        """Queue the failed targets again, as a new operation that is linked to this one."""
        operation = self._retryable(request, pk)
        failed = results.failed_results(operation)
        return confirm_action(
            self,
            request,
            verb=RETRY_FAILED,
            select=lambda: results.select(failed),
            act=lambda confirmation: results.retry_failed(
                results=failed, confirmation=confirmation, parent=operation
            ),
            details=lambda selection: {"groups": preview(failed)},
            back=operation.get_absolute_url(),
        )

    def edit(self, request: HttpRequest, pk: str) -> HttpResponse:
        """Queue the failed targets again with other arguments, linked to this operation."""
        operation = self._retryable(request, pk)
        failed, back = results.failed_results(operation), operation.get_absolute_url()
        return edit_and_retry_view(self, request, failed, back=back, parent=operation)

    def _retryable(self, request: HttpRequest, pk: str) -> Operation:
        """The operation; 404 for a verb whose targets cannot be retried."""
        operation = self.operation_of(request, pk)
        if not operation.retryable:
            raise Http404
        return operation

    @method_decorator(require_safe)
    def csv(self, request: HttpRequest, pk: str) -> HttpResponseBase:
        """Export the targets with their outcomes: keys, without names and addresses."""
        operation = self.operation_of(request, pk)
        if not self.may_export(request):
            raise PermissionDenied
        targets = operation.targets.order_by("pk")
        if (state := request.GET.get("state")) in TargetState.values:
            targets = targets.filter(state=state)
        response = StreamingHttpResponse(_lines(targets), content_type="text/csv; charset=utf-8")
        name = f"operation-{operation.pk}.csv"
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        return response


def _act(verb: str, operation: Operation, confirmation: Confirmation) -> Operation:
    """Change the operation; return the record of the action."""
    arguments: dict[str, Any] = {"actor": confirmation.actor, "reason": confirmation.reason}
    if verb == THROTTLE:
        arguments["rate"] = confirmation.rate
    return operations.ACTIONS[verb](operation=operation, **arguments)


def _respond(request: HttpRequest, operation: Operation, _record: Operation) -> HttpResponse:
    operation.refresh_from_db()
    messages.success(request, f"{operation}: {operation.get_state_display()}")
    return HttpResponseRedirect(operation.get_absolute_url())


def _lines(targets: Any) -> Iterator[str]:
    """Yield one line for each target, as a stream."""
    writer: Any = csv.writer(Echo())
    yield writer.writerow(COLUMNS)
    for row in targets.values_list(*COLUMNS).iterator(2000):
        yield writer.writerow([escape_formula(_masked(value)) for value in row])


def _masked(value: Any) -> Any:
    return mask_text(value) if isinstance(value, str) else value
