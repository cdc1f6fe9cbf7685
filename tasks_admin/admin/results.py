"""Task results: the list, the page of one, and the action that retries."""

from datetime import datetime
from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from django_celery_results.models import GroupResult, TaskResult

from tasks_admin import durations, masks, results
from tasks_admin.admin.confirm import ForgivingActions, actor_of, confirmed, may
from tasks_admin.admin.exchange import ResultExchange
from tasks_admin.admin.filters import StatusFilter, TaskFilter
from tasks_admin.admin.readonly import ReadOnlyAdmin
from tasks_admin.admin.result_page import ResultPage, badge
from tasks_admin.models import Result
from tasks_admin.reasons import label
from tasks_admin.verbs import RETRY_FAILED, VERBS

#: Characters of the arguments that the list shows.
BRIEF = 80
#: Characters of them that are read for that: a secret that begins there must not be cut.
READ = 2_000


def preview(rows: QuerySet[Any]) -> list[tuple[str, str, str, int]]:
    """What a retry would do, by task, exception and verdict, in words."""
    return [
        (task, raised, label(code) if code else str(_("will be retried")), count)
        for task, raised, code, count in results.groups(rows)
    ]


def moment(when: datetime | None) -> str:
    """A moment in the little room that a list has."""
    return date_format(localtime(when), "SHORT_DATETIME_FORMAT") if when else ""


class ResultAdmin(ForgivingActions, ResultPage, ResultExchange, ReadOnlyAdmin):
    """Results, newest first."""

    actions = ("retry_failed",)
    list_display = (
        "task_id_brief", "state", "task", "brief", "worker", "queued", "started", "ended", "ran",
    )  # fmt: skip
    list_display_links = ("task_id_brief",)
    list_filter = (StatusFilter, TaskFilter)
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("task_id__exact",)
    search_help_text = _("A task id, whole.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Leave out the columns that can be megabytes long, and that a list does not show."""
        return super().get_queryset(request).defer("traceback", "result", "meta")

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
        return durations.spoken(result.run_time)

    @admin.action(description=VERBS[RETRY_FAILED].label, permissions=[RETRY_FAILED])
    def retry_failed(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Queue the selected failures again."""
        return confirmed(
            self,
            request,
            verb=RETRY_FAILED,
            select=lambda: results.select(queryset),
            act=partial(results.retry_failed, results=queryset, actor=actor_of(request)),
            warn=lambda selection: {"groups": preview(queryset)},
        )

    def has_retry_failed_permission(self, request: HttpRequest) -> bool:
        """Whether the action is offered."""
        return may(request, RETRY_FAILED)


for stock in (TaskResult, GroupResult):
    if admin.site.is_registered(stock):
        admin.site.unregister(stock)
admin.site.register(Result, ResultAdmin)
