"""The page of one task result."""

import json
from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from tasks_admin import results
from tasks_admin.admin.confirm import may
from tasks_admin.admin.filters import StatusFilter
from tasks_admin.models import Result
from tasks_admin.reasons import label
from tasks_admin.verbs import RETRY_FAILED

#: Characters of any text that the page shows.
LONGEST = 64_000


def written(value: Any) -> str:
    """An argument as JSON: the text "42" and the number 42 must not look alike."""
    return json.dumps(value, ensure_ascii=False, default=str)


def badge(result: Result) -> str:
    """The status as a badge that says it in words too."""
    words = dict(StatusFilter.lookups(None, None, None))  # type: ignore[arg-type]
    word = words.get(result.status, result.status)
    return format_html('<span class="badge {}">{}</span>', result.status.lower(), word)


class ResultPage(ModelAdmin[Any]):
    """One result: what was asked, what came back, and where it belongs."""

    change_form_template = "admin/tasks_admin/result/change_form.html"

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

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add what belongs to one result: its operation, and the attempts before and after it."""
        result = context["original"]
        verdict, positional, named = result.arguments
        exclusion = results.judged(Result.objects.filter(pk=result.pk)).get().exclusion
        failed = result.status == "FAILURE" and may(request, RETRY_FAILED)
        context |= {
            "title": _("Task result"),
            "subtitle": None,
            "result": result,
            "state": badge(result),
            "verdict": verdict,
            "positional": [written(value) for value in positional],
            "named": {name: written(value) for name, value in named.items()},
            "history": results.history(result),
            "longest": f":{LONGEST}",
            "may_retry": failed and not exclusion,
            "why_not": label(exclusion) if failed and exclusion else "",
        }
        return super().render_change_form(request, context, *args, **kwargs)
