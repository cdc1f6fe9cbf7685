"""Task results: the list, the page of one, and the action that retries."""

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
from tasks_admin.admin.exchange import ResultExchange
from tasks_admin.admin.results import columns
from tasks_admin.admin.results.cancellation import CancellationMixin
from tasks_admin.admin.results.detail import ResultPage, badge
from tasks_admin.admin.results.editing import EditAndRetryMixin
from tasks_admin.admin.results.filters import (
    OperationFilter,
    QueueFilter,
    RaisedFilter,
    RetriedFilter,
    StatusFilter,
    TaskFilter,
    TimeFilter,
    WorkerFilter,
)
from tasks_admin.admin.results.search import search
from tasks_admin.admin.shared.confirm import SafeActionsMixin, confirm_action
from tasks_admin.admin.shared.keyset import KeyedChangeList
from tasks_admin.admin.shared.readonly import ReadOnlyAdmin
from tasks_admin.admin.shared.responses import can
from tasks_admin.lib import durations, masks
from tasks_admin.lib.reasons import label
from tasks_admin.lib.verbs import RETRY_FAILED, VERBS
from tasks_admin.models import Result
from tasks_admin.models.result_states import ResultState
from tasks_admin.models.targets import TASK_ID

#: Characters of the arguments that the list shows.
BRIEF = 80
#: Characters of them that are read for that: a secret that begins there must not be cut.
READ = 2_000


def preview(rows: QuerySet[Any]) -> list[tuple[str, str, str, int]]:
    """What a retry would do, by task, exception and verdict, in words."""
    return [
        (task, raised, label(code) if code else str(_("will be retried")), count)
        for task, raised, code, count in results.preview_groups(rows)
    ]


def moment(when: datetime | None) -> str:
    """A moment in the little room that a list has."""
    return date_format(localtime(when), "SHORT_DATETIME_FORMAT") if when else ""


class ResultAdmin(
    SafeActionsMixin,
    EditAndRetryMixin,
    CancellationMixin,
    ResultPage,
    ResultExchange,
    ReadOnlyAdmin,
):
    """Results, newest first."""

    actions = ("retry_failed", "edit_and_retry", "revoke", "terminate")
    change_list_template = "admin/tasks_admin/result/change_list.html"
    list_display = ("task_id_brief", "state", "task", "brief", "worker", "queued", "ran")
    #: What one may choose from.
    columns = (
        "task_id_brief", "state", "task", "brief", "worker", "queue", "queued", "waited",
        "started", "ended", "ran", "operation",
    )  # fmt: skip
    list_display_links = ("task_id_brief",)
    list_filter = (
        StatusFilter, TaskFilter, RaisedFilter, TimeFilter, QueueFilter, WorkerFilter,
        OperationFilter, RetriedFilter,
    )  # fmt: skip
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("task_id",)  # shows the box; `get_search_results` decides
    search_help_text = _(
        "A task id, whole; a user's name, address or number (user:…); or words of an exception "
        "among the newest failures (text:…)."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Leave out the columns that can be megabytes long, and that a list does not show."""
        return super().get_queryset(request).defer("traceback", "result")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeyedChangeList]:
        """Page by key."""
        return KeyedChangeList

    def at_once(self, used: list[Any]) -> bool:
        """Whether one index knows all these filters: failures of a task."""
        kinds = {type(spec) for spec in used}
        failed = any(
            isinstance(spec, StatusFilter) and spec.value() == ResultState.FAILURE for spec in used
        )
        return kinds == {TaskFilter, StatusFilter} and failed

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search in this list's own way."""
        return (search(queryset, search_term) if search_term.strip() else queryset), False

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """The columns that this person chose."""
        chosen = columns.chosen(request)
        return [name for name in self.columns if name in chosen] or list(self.list_display)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Offer the columns beside the list."""
        shown = self.get_list_display(request)
        words = [getattr(self, name).short_description for name in self.columns]
        names = zip(self.columns, words, strict=True)
        offered = [(name, text, name in shown) for name, text in names]
        return super().changelist_view(request, {"columns": offered, **(extra_context or {})})

    def get_urls(self) -> list[Any]:
        """Add the address that keeps one's columns."""
        keep = self.admin_site.admin_view(self.keep_columns)
        return [path("columns/", keep, name="tasks_admin_result_columns"), *super().get_urls()]

    def keep_columns(self, request: HttpRequest) -> HttpResponse:
        """Remember for this person which columns to show; none means the usual ones."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return redirect("admin:tasks_admin_result_changelist")
        chosen = request.POST.getlist("column")
        columns.keep(request, (name for name in self.columns if name in chosen))
        back = request.POST.get("next", "")
        safe = url_has_allowed_host_and_scheme(back, {request.get_host()}, request.is_secure())
        return redirect(back if safe else "admin:tasks_admin_result_changelist")

    @admin.display(description=_("id"))
    def task_id_brief(self, result: Result) -> str:
        """The end of the id: ours begin alike within an operation."""
        return result.task_id if len(result.task_id) <= 18 else f"…{result.task_id[-16:]}"

    @admin.display(description=_("status"))
    def state(self, result: Result) -> str:
        """The status as a badge that says it in words too."""
        return badge(result)

    @admin.display(description=_("task"))
    def task(self, result: Result) -> str:
        """Which task it was; the package's own heading comes without translations."""
        return result.task_name or ""

    @admin.display(description=_("arguments"))
    def brief(self, result: Result) -> str:
        """The arguments as far as they fit."""
        stored = f"{(result.task_args or '')[:READ]} {(result.task_kwargs or '')[:READ]}"
        text = masks.mask_text(stored.removesuffix(" {}"))
        return text if len(text) <= BRIEF else f"{text[:BRIEF]}…"

    @admin.display(description=_("queue"))
    def queue(self, result: Result) -> str:
        """The queue it was sent to."""
        return result.queue

    @admin.display(description=_("worker"))
    def worker(self, result: Result) -> str:
        """Who ran it."""
        return result.worker or ""

    @admin.display(description=_("waited"))
    def waited(self, result: Result) -> str:
        """How long it was queued."""
        return durations.format_duration(result.queue_time)

    @admin.display(description=_("operation"))
    def operation(self, result: Result) -> str:
        """A link to the operation that queued it, if one did."""
        match = TASK_ID.fullmatch(result.task_id)
        if match is None:
            return ""
        to = reverse("admin:tasks_admin_operation_of", args=[match[1]])
        return format_html('<a href="{}">{}</a>', to, match[1][:8])

    @admin.display(description=pgettext_lazy("a moment", "queued"))
    def queued(self, result: Result) -> str:
        """When it was published."""
        return moment(result.date_created)

    @admin.display(description=pgettext_lazy("a moment", "started"))
    def started(self, result: Result) -> str:
        """When a worker began."""
        return moment(result.date_started)

    @admin.display(description=_("ended"))
    def ended(self, result: Result) -> str:
        """When it ended; empty while it has not."""
        return moment(result.date_done if result.ended else None)

    @admin.display(description=_("ran for"))
    def ran(self, result: Result) -> str:
        """How long it ran."""
        return durations.format_duration(result.run_time)

    @admin.action(description=VERBS[RETRY_FAILED].label, permissions=[RETRY_FAILED])
    def retry_failed(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Queue the selected failures again."""
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
