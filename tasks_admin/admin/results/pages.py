"""The list of task results, and the action that retries failed tasks."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.timezone import localtime
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from django_celery_results.models import GroupResult, TaskResult

from tasks_admin import results
from tasks_admin.admin.exchange import ResultExchangeMixin
from tasks_admin.admin.results import columns
from tasks_admin.admin.results.cancellation import CancellationMixin
from tasks_admin.admin.results.detail import ResultPage, badge
from tasks_admin.admin.results.editing import EditAndRetryMixin
from tasks_admin.admin.results.filters import (
    ExceptionFilter,
    OperationFilter,
    QueueFilter,
    RetriedFilter,
    StatusFilter,
    TaskFilter,
    TimeFilter,
    WorkerFilter,
)
from tasks_admin.admin.results.search import search
from tasks_admin.admin.shared.confirm import SafeActionsMixin, confirm_action
from tasks_admin.admin.shared.keyset import KeysetChangeList
from tasks_admin.admin.shared.readonly import ReadOnlyAdmin
from tasks_admin.admin.shared.responses import can
from tasks_admin.lib import durations, masks
from tasks_admin.lib.reasons import label
from tasks_admin.lib.verbs import RETRY_FAILED, VERBS
from tasks_admin.models import Result
from tasks_admin.models.result_states import ResultState
from tasks_admin.models.targets import TASK_ID

#: Characters of the arguments that the list shows.
MAX_ARGUMENTS_LENGTH = 80
#: Characters that are masked before the text is cut: half a secret is not recognized.
MAX_MASKED_LENGTH = 2_000
MAX_ID_LENGTH = 18


def preview(rows: QuerySet[Any]) -> list[tuple[str, str, str, int]]:
    """The effect of a retry: (task, exception class, outcome, count), with labels."""
    return [
        (task, exception, label(code) if code else str(_("will be retried")), count)
        for task, exception, code, count in results.preview_groups(rows)
    ]


def short_time(time: datetime | None) -> str:
    """A time in the short format of lists; empty for None."""
    return date_format(localtime(time), "SHORT_DATETIME_FORMAT") if time else ""


class ResultAdmin(
    SafeActionsMixin,
    EditAndRetryMixin,
    CancellationMixin,
    ResultPage,
    ResultExchangeMixin,
    ReadOnlyAdmin,
):
    """Task results, newest first."""

    actions = ("retry_failed", "edit_and_retry", "revoke", "terminate")
    change_list_template = "admin/tasks_admin/result/change_list.html"
    list_display = ("short_id", "state", "task", "arguments", "worker", "queued", "duration")
    #: The columns that the user can select.
    columns = (
        "short_id", "state", "task", "arguments", "worker", "queue", "queued", "wait_time",
        "started", "finished", "duration", "operation",
    )  # fmt: skip
    list_display_links = ("short_id",)
    list_filter = (
        StatusFilter, TaskFilter, ExceptionFilter, TimeFilter, QueueFilter, WorkerFilter,
        OperationFilter, RetriedFilter,
    )  # fmt: skip
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("task_id",)  # shows the search box; see `get_search_results`
    search_help_text = _(
        "Full task ID, “user:” and a user's name, email or number, or “text:” and words from a "
        "recent error"
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Defer the columns that can be megabytes long; the list does not show them."""
        return super().get_queryset(request).defer("traceback", "result")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        """Paginate by key."""
        return KeysetChangeList

    def has_common_index(self, filters: list[Any]) -> bool:
        """Whether one index serves all these filters: the failures of a task."""
        kinds = {type(spec) for spec in filters}
        failed = any(
            isinstance(spec, StatusFilter) and spec.value() == ResultState.FAILURE
            for spec in filters
        )
        return kinds == {TaskFilter, StatusFilter} and failed

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search by task id, user or text; see `search`."""
        return (search(queryset, search_term) if search_term.strip() else queryset), False

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """The columns that the user selected."""
        selected = columns.selected(request)
        return [name for name in self.columns if name in selected] or list(self.list_display)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Add the form that selects the columns."""
        shown = self.get_list_display(request)
        labels = {name: getattr(self, name).short_description for name in self.columns}
        choices = [(name, label, name in shown) for name, label in labels.items()]
        return super().changelist_view(request, {"columns": choices, **(extra_context or {})})

    def get_urls(self) -> list[Any]:
        """Add the URL that stores the selected columns."""
        view = self.admin_site.admin_view(self.save_columns)
        return [path("columns/", view, name="tasks_admin_result_columns"), *super().get_urls()]

    def save_columns(self, request: HttpRequest) -> HttpResponse:
        """Store the columns that the user selected; none means the default ones."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return redirect("admin:tasks_admin_result_changelist")
        selected = request.POST.getlist("column")
        columns.save(request, (name for name in self.columns if name in selected))
        back = request.POST.get("next", "")
        safe = url_has_allowed_host_and_scheme(back, {request.get_host()}, request.is_secure())
        return redirect(back if safe else "admin:tasks_admin_result_changelist")

    @admin.display(description=_("ID"))
    def short_id(self, result: Result) -> str:
        """The end of the task id: the ids of an operation have the same beginning."""
        task_id: str = result.task_id
        return task_id if len(task_id) <= MAX_ID_LENGTH else f"…{task_id[2 - MAX_ID_LENGTH :]}"

    @admin.display(description=_("status"))
    def state(self, result: Result) -> str:
        """The status as a badge."""
        return badge(result)

    @admin.display(description=_("task"))
    def task(self, result: Result) -> str:
        """The task's name; the title of the package's own field is not translated."""
        return result.task_name or ""

    @admin.display(description=_("arguments"))
    def arguments(self, result: Result) -> str:
        """The beginning of the arguments, masked."""
        texts = (result.task_args or "", result.task_kwargs or "")
        stored = " ".join(text[:MAX_MASKED_LENGTH] for text in texts)
        text: str = masks.mask_text(stored.removesuffix(" {}"))
        if len(text) <= MAX_ARGUMENTS_LENGTH:
            return text
        return f"{text[:MAX_ARGUMENTS_LENGTH]}…"

    @admin.display(description=_("queue"))
    def queue(self, result: Result) -> str:
        """The queue to which the task was published."""
        return result.queue

    @admin.display(description=_("worker"))
    def worker(self, result: Result) -> str:
        """The worker that ran the task."""
        return result.worker or ""

    @admin.display(description=_("wait time"))
    def wait_time(self, result: Result) -> str:
        """The time from publication to start."""
        return durations.format_duration(result.queue_time)

    @admin.display(description=_("operation"))
    def operation(self, result: Result) -> str:
        """A link to the operation that published the task, if any."""
        match = TASK_ID.fullmatch(result.task_id)
        if match is None:
            return ""
        url = reverse("admin:tasks_admin_operation_of", args=[match[1]])
        return format_html('<a href="{}">{}</a>', url, match[1][:8])

    @admin.display(description=pgettext_lazy("a moment", "queued"))
    def queued(self, result: Result) -> str:
        """The time of publication."""
        return short_time(result.date_created)

    @admin.display(description=pgettext_lazy("a moment", "started"))
    def started(self, result: Result) -> str:
        """The time when a worker started the task."""
        return short_time(result.date_started)

    @admin.display(description=pgettext_lazy("a moment", "finished"))
    def finished(self, result: Result) -> str:
        """The time when the task finished; empty before."""
        return short_time(result.date_done if result.ended else None)

    @admin.display(description=_("duration"))
    def duration(self, result: Result) -> str:
        """The time from start to finish."""
        return durations.format_duration(result.run_time)

    @admin.action(description=VERBS[RETRY_FAILED].label, permissions=[RETRY_FAILED])
    def retry_failed(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Queue the selected failed tasks again."""
        return confirm_action(
            self,
            request,
            verb=RETRY_FAILED,
            select=lambda: results.select(queryset),
            act=lambda confirmation: results.retry_failed(
                results=queryset, confirmation=confirmation
            ),
            details=lambda selection: {"groups": preview(queryset)},
        )

    def has_retry_failed_permission(self, request: HttpRequest) -> bool:
        """Whether the action is offered."""
        return can(request, RETRY_FAILED)


for stock in (TaskResult, GroupResult):
    if admin.site.is_registered(stock):
        admin.site.unregister(stock)
admin.site.register(Result, ResultAdmin)
