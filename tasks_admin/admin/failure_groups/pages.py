"""Causes: the list of groups of failures, and the page of one."""

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
from tasks_admin.admin.results.detail import LONGEST, badge
from tasks_admin.admin.results.editing import edit_and_retry_view
from tasks_admin.admin.results.pages import moment, preview
from tasks_admin.admin.shared.confirm import confirm_action
from tasks_admin.admin.shared.readonly import ReadOnlyAdmin
from tasks_admin.admin.shared.responses import can
from tasks_admin.lib import masks, tracebacks
from tasks_admin.lib.verbs import EDIT_AND_RETRY, RETRY_FAILED
from tasks_admin.models import FailureGroup, Operation, Result
from tasks_admin.operations import Confirmation
from tasks_admin.results import failure_groups

#: Characters of a message that the list shows.
BRIEF = 160


class FailureGroupChangeList(ChangeList):
    """A page of causes, with what is told of each: two queries for all of them."""

    def get_results(self, request: HttpRequest) -> None:
        """Read the page, and look up trends and shares."""
        super().get_results(request)
        rows = list(self.result_list)
        trends, shares = failure_groups.hourly(rows), failure_groups.failure_rates(rows)
        for row in rows:
            row.trend, row.share = trends[row.pk], shares.get(row.pk)
        self.result_list = rows


@admin.register(FailureGroup)
class FailureGroupAdmin(FailureGroupActionsMixin, ReadOnlyAdmin):
    """What failures have in common, the latest first."""

    list_display = (
        "said", "standing", "failures", "first", "last", "trend", "share",
    )  # fmt: skip
    list_display_links = ("said",)
    list_filter = (FailureGroupStateFilter, FailureGroupTaskFilter)
    list_per_page = 25
    ordering = ("-last_at", "-id")
    sortable_by = ()
    search_fields = ("exception", "message", "location", "task")
    search_help_text = _("Words of the exception, its message, the place in the code or the task.")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """With trends and shares."""
        return FailureGroupChangeList

    @admin.display(description=_("group"))
    def said(self, group: FailureGroup) -> str:
        """The exception and what it said; below it the task, and the place in the code."""
        text = f"{group.exception}: {group.message}" if group.message else group.exception
        text = text if len(text) <= BRIEF else f"{text[:BRIEF]}…"
        where = " · ".join(filter(None, [group.task, group.location]))
        return format_html('{}<br><span class="quiet">{}</span>', text, where)

    @admin.display(description=_("state"))
    def standing(self, group: FailureGroup) -> str:
        """The state as a badge that says it in words too."""
        return render_to_string("admin/tasks_admin/failuregroup/state.html", {"group": group})

    @admin.display(description=_("failures"))
    def failures(self, group: FailureGroup) -> int:
        """How many there were."""
        return group.count

    @admin.display(description=pgettext_lazy("a moment", "first"))
    def first(self, group: FailureGroup) -> str:
        """When it failed so for the first time."""
        return moment(group.first_at)

    @admin.display(description=pgettext_lazy("a moment", "last"))
    def last(self, group: FailureGroup) -> str:
        """When it last did."""
        return moment(group.last_at)

    @admin.display(description=_("last 24 hours"))
    def trend(self, group: Any) -> str:
        """A small chart, with its numbers as words."""
        return render_to_string("admin/tasks_admin/chart.html", {"chart": group.trend})

    @admin.display(description=_("share of runs"))
    def share(self, group: Any) -> str:
        """How much of what that task did lately ended so."""
        return render_to_string("admin/tasks_admin/failuregroup/share.html", {"share": group.share})

    def get_urls(self) -> list[Any]:
        """Add an address for each act."""
        return self.action_urls() + super().get_urls()

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show a cause."""
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
        """Queue again what failed for it, and was not retried yet."""
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
        """Queue all of that again with other arguments, the same for all."""
        group = self.group_of(request, pk)
        return edit_and_retry_view(
            self, request, failure_groups.results_of(group), back=group.get_absolute_url()
        )

    def group_of(self, request: HttpRequest, pk: str) -> FailureGroup:
        """The cause, for who may look at it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        group = self.get_object(request, pk)
        if group is None:
            raise Http404
        return group  # type: ignore[no-any-return]

    def _context(self, request: HttpRequest, group: FailureGroup) -> dict[str, Any]:
        seen, older = failure_groups.latest_failures(
            group, before=_key(request.GET.get("before", ""))
        )
        may_look = request.user.has_perm("tasks_admin.view_result")
        return {
            "group": group,
            "hours": failure_groups.hourly([group])[group.pk],
            "days": failure_groups.daily(group),
            "share": failure_groups.failure_rates([group]).get(group.pk),
            "seen": [(one, badge(one.result) if one.result else "") for one in seen],
            "older": older,
            "paged": "before" in request.GET,
            "may_look": may_look,
            "traceback": _sample(seen) if may_look else [],
            "actions": self.offered(request, group),
            "done": failure_groups.actions_on(group),
            "may_look_at_operations": request.user.has_perm("tasks_admin.view_operation"),
            "may_retry": can(request, RETRY_FAILED),
            "may_edit": can(request, EDIT_AND_RETRY),
        }


def _retry(group: FailureGroup, confirmation: Confirmation) -> Operation:
    return failure_groups.retry(group=group, confirmation=confirmation)


def _key(text: str) -> int | None:
    """A page's key; what is none leads to the first page."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def _sample(seen: list[failure_groups.StoredFailure]) -> list[tracebacks.FrameGroup]:
    """The traceback of the newest failure that is still stored, masked."""
    pk = next((one.result.pk for one in seen if one.result), 0)
    stored = Result.objects.filter(pk=pk).values_list("traceback", flat=True).first() or ""
    return tracebacks.frame_groups(masks.mask_text(stored[:LONGEST]))
