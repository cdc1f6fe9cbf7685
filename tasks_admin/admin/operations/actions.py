"""What can be done from an operation's page: each act has an address, and is a POST."""

import csv
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.http.response import StreamingHttpResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from tasks_admin import operations, results
from tasks_admin.accounts.forms import ReasonForm, ThrottleForm
from tasks_admin.admin.exchange.cells import guard
from tasks_admin.admin.results.editing import edit_and_retry_view
from tasks_admin.admin.results.pages import preview
from tasks_admin.admin.shared.confirm import can, confirm_action, current_user, require_verb_post
from tasks_admin.lib.errors import ConsoleError, NotAllowed
from tasks_admin.lib.masks import mask_text
from tasks_admin.lib.verbs import EDIT_AND_RETRY, RETRY_FAILED
from tasks_admin.models import Operation
from tasks_admin.models.targets import TargetState

ACTS: dict[str, Callable[..., Operation]] = {
    "approve": operations.approve,
    "pause": operations.pause,
    "resume": operations.resume,
    "throttle": operations.throttle,
    "abort": operations.abort,
}
COLUMNS = ("subject", "state", "reason", "detail", "tries", "crashes", "started_at", "finished_at")


class Echo:
    """A file that gives back what is written to it."""

    def write(self, line: str) -> str:
        """Return the line."""
        return line


class OperationActionsMixin(ModelAdmin[Any]):
    """Pause, resume, abort, throttle, approve; retry what failed; the targets as CSV."""

    def act_urls(self) -> list[Any]:
        """An address for each act."""
        view = self.admin_site.admin_view
        acts = {verb: require_verb_post(verb, self._act(verb)) for verb in ACTS}
        acts["retry"] = require_verb_post(RETRY_FAILED, self.retry)
        acts["edit"] = require_verb_post(EDIT_AND_RETRY, self.edit)
        return [
            path("<path:pk>/targets.csv", view(self.csv), name="tasks_admin_operation_csv"),
            *(
                path(f"<path:pk>/{name}/", view(act), name=f"tasks_admin_operation_{name}")
                for name, act in acts.items()
            ),
        ]

    def operation_of(self, request: HttpRequest, pk: str) -> Operation:
        """The operation, for who may look at it."""
        raise NotImplementedError

    def offered(self, request: HttpRequest, operation: Operation) -> list[str]:
        """The acts that are possible now, and allowed to who looks."""
        possible = [v for v in ACTS if can(request, v) and operations.is_applicable(operation, v)]
        own = operation.actor_id == current_user(request).pk
        return [verb for verb in possible if not (own and verb == "approve")]

    def may_export(self, request: HttpRequest) -> bool:
        """Whether who looks may take the targets along."""
        return request.user.has_perm("tasks_admin.export_operations")

    def _act(self, verb: str) -> Callable[..., HttpResponse]:
        def view(request: HttpRequest, pk: str) -> HttpResponse:
            operation = self.operation_of(request, pk)
            form = (ThrottleForm if verb == "throttle" else ReasonForm)(request.POST)
            if not form.is_valid():
                self._say_what_is_wrong(request, form)
                return HttpResponseRedirect(operation.get_absolute_url())
            try:
                ACTS[verb](operation=operation, actor=current_user(request), **form.cleaned_data)
            except NotAllowed as error:
                raise PermissionDenied(str(error)) from None
            except ConsoleError as error:
                messages.warning(request, str(error))
            else:
                operation.refresh_from_db()
                messages.success(request, f"{operation}: {operation.get_state_display()}")
            return HttpResponseRedirect(operation.get_absolute_url())

        return view

    def _say_what_is_wrong(self, request: HttpRequest, form: ReasonForm) -> None:
        if "rate" in form.errors:
            text = _("The rate must be a whole number from 1 to 1,000,000, or empty.")
            messages.error(request, text)
        if "reason" in form.errors:
            messages.error(request, _("Say why: the reason is kept with the operation."))

    def retry(self, request: HttpRequest, pk: str) -> HttpResponse:
        """Queue what failed again, as an operation of its own that is linked to this one."""
        operation = self.operation_of(request, pk)
        failed = results.failures_of(operation)
        act = partial(
            results.retry_failed, results=failed, actor=current_user(request), parent=operation
        )
        return confirm_action(
            self,
            request,
            verb=RETRY_FAILED,
            select=lambda: results.select(failed),
            act=act,
            warn=lambda selection: {"groups": preview(failed)},
            back=operation.get_absolute_url(),
        )

    def edit(self, request: HttpRequest, pk: str) -> HttpResponse:
        """Queue what failed again with other arguments, the same for all, linked to this one."""
        operation = self.operation_of(request, pk)
        failed, back = results.failures_of(operation), operation.get_absolute_url()
        return edit_and_retry_view(self, request, failed, back=back, parent=operation)

    @method_decorator(require_safe)
    def csv(self, request: HttpRequest, pk: str) -> HttpResponseBase:
        """The targets with their outcomes: keys, no names and no addresses."""
        operation = self.operation_of(request, pk)
        if not self.may_export(request):
            raise PermissionDenied
        targets = operation.targets.order_by("pk")
        if (state := request.GET.get("state")) in TargetState.values:
            targets = targets.filter(state=state)
        answer = StreamingHttpResponse(_lines(targets), content_type="text/csv; charset=utf-8")
        name = f"operation-{operation.pk}.csv"
        answer["Content-Disposition"] = f'attachment; filename="{name}"'
        return answer


def _lines(targets: Any) -> Iterator[str]:
    """Write a line a target, without ever holding all of them."""
    writer: Any = csv.writer(Echo())
    yield writer.writerow(COLUMNS)
    for row in targets.values_list(*COLUMNS).iterator(2000):
        yield writer.writerow([guard(_masked(value)) for value in row])


def _masked(value: Any) -> Any:
    return mask_text(value) if isinstance(value, str) else value
