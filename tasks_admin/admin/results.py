"""Task results: the list, the page of one, and the action that retries."""

import json
from datetime import datetime
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.timezone import localtime
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from django_celery_results.models import GroupResult, TaskResult

from tasks_admin import durations, results
from tasks_admin.admin.confirm import ForgivingActions, actor_of, confirmed, may
from tasks_admin.admin.exchange import ResultExchange
from tasks_admin.admin.filters import StatusFilter, TaskFilter
from tasks_admin.admin.readonly import ReadOnlyAdmin
from tasks_admin.models import Result
from tasks_admin.reasons import label
from tasks_admin.verbs import RETRY_FAILED, VERBS

#: Characters of the arguments that the list shows, and of any text that a page shows.
BRIEF = 80
LONGEST = 64_000


def preview(rows: QuerySet[Any]) -> list[tuple[str, str, str, int]]:
    """What a retry would do, by task, exception and verdict, in words."""
    return [
        (task, raised, label(code) if code else str(_("will be retried")), count)
        for task, raised, code, count in results.groups(rows)
    ]


def moment(when: datetime | None) -> str:
    """A moment in the little room that a list has."""
    return date_format(localtime(when), "SHORT_DATETIME_FORMAT") if when else ""


def written(value: Any) -> str:
    """An argument as JSON: the text "42" and the number 42 must not look alike."""
    return json.dumps(value, ensure_ascii=False, default=str)


class ResultAdmin(ForgivingActions, ResultExchange, ReadOnlyAdmin):
    """Results, newest first."""

    actions = ("retry_failed",)
    change_form_template = "admin/tasks_admin/result/change_form.html"
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
        words = dict(StatusFilter.lookups(None, None, None))  # type: ignore[arg-type]
        word = words.get(result.status, result.status)
        return format_html('<span class="badge {}">{}</span>', result.status.lower(), word)

    @admin.display(description=_("task"))
    def task(self, result: Result) -> str:
        """Which task it was; the package's own heading comes without translations."""
        return result.task_name or ""

    @admin.display(description=_("arguments"))
    def brief(self, result: Result) -> str:
        """The arguments as far as they fit."""
        text = f"{result.task_args or ''} {result.task_kwargs or ''}".removesuffix(" {}")
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

    def get_urls(self) -> list[Any]:
        """Add the address of a result by its task id, for links."""
        of = self.admin_site.admin_view(self.of)
        return [path("of/", of, name="tasks_admin_result_of"), *super().get_urls()]

    def of(self, request: HttpRequest) -> HttpResponse:
        """Go to the result of a task; to a list that says so when there is none."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        task_id = request.GET.get("id", "").replace("\x00", "")
        pk = Result.objects.filter(task_id=task_id).values_list("pk", flat=True).first()
        if pk is None:
            text = _("No result is stored for task %(id)s (yet, or any more).") % {"id": task_id}
            messages.warning(request, text)
            return redirect("admin:tasks_admin_result_changelist")
        return redirect("admin:tasks_admin_result_change", pk)

    def has_retry_failed_permission(self, request: HttpRequest) -> bool:
        """Whether the action is offered."""
        return may(request, RETRY_FAILED)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add what belongs to one result: its operation, and the attempts before and after it."""
        result = context["original"]
        verdict, positional, named = result.arguments
        exclusion = results.judged(Result.objects.filter(pk=result.pk)).get().exclusion
        failed = result.status == "FAILURE" and self.has_retry_failed_permission(request)
        context |= {
            "title": _("Task result"),
            "subtitle": None,
            "result": result,
            "state": self.state(result),
            "verdict": verdict,
            "positional": [written(value) for value in positional],
            "named": {name: written(value) for name, value in named.items()},
            "history": results.history(result),
            "longest": f":{LONGEST}",
            "may_retry": failed and not exclusion,
            "why_not": label(exclusion) if failed and exclusion else "",
        }
        return super().render_change_form(request, context, *args, **kwargs)


for stock in (TaskResult, GroupResult):
    if admin.site.is_registered(stock):
        admin.site.unregister(stock)
admin.site.register(Result, ResultAdmin)
