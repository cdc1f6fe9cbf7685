"""Failure groups: the list, and the page of one group."""

from functools import partial
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from tasks_admin import results
from tasks_admin.admin.failure_groups.actions import FailureGroupActionsMixin
from tasks_admin.admin.failure_groups.filters import FailureGroupStateFilter, FailureGroupTaskFilter
from tasks_admin.admin.results.detail import MAX_TEXT_LENGTH, badge
from tasks_admin.admin.results.editing import edit_and_retry_view
from tasks_admin.admin.results.pages import preview, short_time
from tasks_admin.admin.shared.confirm import confirm_action
from tasks_admin.admin.shared.readonly import ReadOnlyAdmin
from tasks_admin.admin.shared.responses import can
from tasks_admin.lib import counts, masks, tracebacks
from tasks_admin.lib.verbs import EDIT_AND_RETRY, RETRY_FAILED
from tasks_admin.models import FailureGroup, Operation, Result
from tasks_admin.operations import Confirmation
from tasks_admin.results import failure_groups

#: Characters of a summary that the list shows.
MAX_SUMMARY_LENGTH = 160


class FailureGroupChangeList(ChangeList):
    """A page of groups with their trends and failure rates: two queries for all of them."""

    def get_results(self, request: HttpRequest) -> None:
        """Read the page, then the trends and failure rates of its rows."""
        super().get_results(request)
        rows = list(self.result_list)
        trends, rates = failure_groups.hourly(rows), failure_groups.failure_rates(rows)
        for row in rows:
            row.trend, row.rate = trends[row.pk], rates.get(row.pk)
        self.result_list = rows


@admin.register(FailureGroup)
class FailureGroupAdmin(FailureGroupActionsMixin, ReadOnlyAdmin):
    """Failure groups, the latest failure first."""

    list_display = (
        "summary", "state_badge", "failures", "first", "last", "trend", "failure_rate",
    )  # fmt: skip
    list_display_links = ("summary",)
    list_filter = (FailureGroupStateFilter, FailureGroupTaskFilter)
    list_per_page = 25
    ordering = ("-last_at", "-id")
    sortable_by = ()
    search_fields = ("exception", "message", "location", "task")
    search_help_text = _("Exception class, message, location in the code, or task")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """With trends and failure rates."""
        return FailureGroupChangeList

    @admin.display(description=_("failure group"))
    def summary(self, group: FailureGroup) -> str:
        """The exception and its message; below them the task and the location in the code."""
        text = f"{group.exception}: {group.message}" if group.message else group.exception
        text = text if len(text) <= MAX_SUMMARY_LENGTH else f"{text[:MAX_SUMMARY_LENGTH]}…"
        details = " · ".join(filter(None, [group.task, group.location]))
        return format_html('{}<br><span class="quiet">{}</span>', text, details)

    @admin.display(description=_("status"))
    def state_badge(self, group: FailureGroup) -> str:
        """The state as a badge."""
        return render_to_string("admin/tasks_admin/failuregroup/state.html", {"group": group})

    @admin.display(description=_("failures"))
    def failures(self, group: FailureGroup) -> str:
        """The number of failures."""
        return f"{group.count:,}"

    @admin.display(description=pgettext_lazy("a moment", "first"))
    def first(self, group: FailureGroup) -> str:
        """The time of the first failure."""
        return short_time(group.first_at)

    @admin.display(description=pgettext_lazy("a moment", "last"))
    def last(self, group: FailureGroup) -> str:
        """The time of the latest failure."""
        return short_time(group.last_at)

    @admin.display(description=_("last 24 hours"))
    def trend(self, group: Any) -> str:
        """A bar chart of the failures per hour."""
        return render_to_string("admin/tasks_admin/chart.html", {"chart": group.trend})

    @admin.display(description=_("failure rate"))
    def failure_rate(self, group: Any) -> str:
        """The group's share of the task's latest finished runs."""
        return render_to_string("admin/tasks_admin/failuregroup/rate.html", {"rate": group.rate})

    def get_urls(self) -> list[Any]:
        """Add a URL for each action."""
        return self.action_urls() + super().get_urls()

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show one group."""
        group = self.group_of(request, unquote(object_id))
        context = {
            **self.admin_site.each_context(request),
            **self._context(request, group),
            "title": str(group),
            "opts": self.opts,
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/tasks_admin/failuregroup/change_form.html", context)

    def retry(self, request: HttpRequest, pk: str) -> HttpResponse:
        """Queue the failed tasks of the group again, except those already retried."""
        group = self.group_of(request, pk)
        failed = failure_groups.results_of(group)
        return confirm_action(
            self,
            request,
            verb=RETRY_FAILED,
            select=lambda: results.select(failed),
            act=partial(_retry, group),
            details=lambda selection: {"groups": preview(failed)},
            back=group.get_absolute_url(),
        )

    def edit(self, request: HttpRequest, pk: str) -> HttpResponse:
        """Queue the failed tasks of the group again, all with the entered arguments."""
        group = self.group_of(request, pk)
        return edit_and_retry_view(
            self, request, failure_groups.results_of(group), back=group.get_absolute_url()
        )

    def group_of(self, request: HttpRequest, pk: str) -> FailureGroup:
        """The group; 403 without the permission to view it, 404 if it does not exist."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        group = self.get_object(request, pk)
        if group is None:
            raise Http404
        return group  # type: ignore[no-any-return]

    def _context(self, request: HttpRequest, group: FailureGroup) -> dict[str, Any]:
        failures, older = failure_groups.latest_failures(
            group, before=_key(request.GET.get("before", ""))
        )
        can_view_results = request.user.has_perm("tasks_admin.view_result")
        return {
            "group": group,
            "hours": failure_groups.hourly([group])[group.pk],
            "days": failure_groups.daily(group),
            "rate": failure_groups.failure_rates([group]).get(group.pk),
            "failures": [(one, badge(one.result) if one.result else "") for one in failures],
            "older": older,
            "retry_count": counts.bounded_count(failure_groups.results_of(group)),
            "paged": "before" in request.GET,
            "can_view_results": can_view_results,
            "traceback": _latest_traceback(failures) if can_view_results else [],
            "actions": self.offered(request, group),
            "history": failure_groups.actions_on(group),
            "can_view_operations": request.user.has_perm("tasks_admin.view_operation"),
            "can_retry": can(request, RETRY_FAILED),
            "can_edit": can(request, EDIT_AND_RETRY),
        }


def _retry(group: FailureGroup, confirmation: Confirmation) -> Operation:
    return failure_groups.retry(group=group, confirmation=confirmation)


def _key(text: str) -> int | None:
    """The key of a page; None for the first page, and for an invalid key."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def _latest_traceback(
    failures: list[failure_groups.StoredFailure],
) -> list[tracebacks.FrameGroup]:
    """The traceback of the latest failure whose result is still stored, masked."""
    pk = next((one.result.pk for one in failures if one.result), 0)
    stored = Result.objects.filter(pk=pk).values_list("traceback", flat=True).first() or ""
    return tracebacks.frame_groups(masks.mask_text(stored[:MAX_TEXT_LENGTH]))
