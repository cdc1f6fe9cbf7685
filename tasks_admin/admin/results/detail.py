"""The page of one task result."""

from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import NoReverseMatch, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from tasks_admin import results
from tasks_admin.admin.results.trees import Node, tree
from tasks_admin.admin.shared.actions import action_page
from tasks_admin.admin.shared.responses import can, current_user, require_verb
from tasks_admin.lib import masks, tracebacks
from tasks_admin.lib.reasons import label
from tasks_admin.lib.verbs import (
    EDIT_AND_RETRY,
    RETRY_FAILED,
    REVEAL_ARGUMENTS,
    REVOKE,
    TERMINATE,
    VERBS,
    TargetType,
)
from tasks_admin.models import Result
from tasks_admin.models.result_states import NOT_STARTED, RETRYABLE, UNREADY, ResultState
from tasks_admin.models.results import InexactReason
from tasks_admin.results import failure_groups, history

#: Characters of a text that the page shows, and in which it searches for masked values.
MAX_TEXT_LENGTH, MAX_SEARCH_LENGTH = 64_000, 1_000_000
#: Further characters that are masked before the text is cut: half a secret is not recognized.
MASK_MARGIN = 10_000
#: Characters of a user's primary key.
MAX_KEY_LENGTH = 100
#: The tasks whose only argument is a user's primary key.
USER_TASKS = {
    verb.task for verb in VERBS.values() if verb.task and verb.target_type == TargetType.USER
}


def badge(result: Result) -> str:
    """The status as a badge; a status of the project's own keeps its name."""
    known = result.status in ResultState.values
    text = ResultState(result.status).label if known else result.status
    return format_html('<span class="badge {}">{}</span>', result.status.lower(), text)


class ResultPage(ModelAdmin[Any]):
    """The page of one result: the call, the return value or exception, and related tasks."""

    change_form_template = "admin/tasks_admin/result/change_form.html"

    def get_urls(self) -> list[Any]:
        """Add the URLs of a result by its task id, and of its masked values."""
        view, reveal = self.admin_site.admin_view, require_verb(REVEAL_ARGUMENTS, self.reveal)
        return [
            path("of/", view(self.by_task_id), name="tasks_admin_result_of"),
            path("<int:pk>/reveal/", view(reveal), name="tasks_admin_result_reveal"),
            *super().get_urls(),
        ]

    def by_task_id(self, request: HttpRequest) -> HttpResponse:
        """Redirect to the result of a task; without one to the list, with a message."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        task_id = request.GET.get("id", "").replace("\x00", "")
        pk = Result.objects.filter(task_id=task_id).values_list("pk", flat=True).first()
        if pk is None:
            text = _(
                "No result is stored for task %(id)s: it has not been stored yet, or has expired."
            ) % {"id": task_id}
            messages.warning(request, text)
            return redirect("admin:tasks_admin_result_changelist")
        return redirect("admin:tasks_admin_result_change", pk)

    def reveal(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show the page unmasked, once, after the view and its reason have been recorded."""
        result = self.get_object(request, str(pk)) if self.has_view_permission(request) else None
        if result is None:
            raise PermissionDenied
        return action_page(
            self,
            request,
            verb=REVEAL_ARGUMENTS,
            act=lambda confirmation: results.reveal(
                result=result, actor=current_user(request), reason=confirmation.reason
            ),
            respond=lambda _record: self._unmasked(request, pk),
            back=reverse("admin:tasks_admin_result_change", args=[pk]),
            subject=result.task_id,
        )

    def _unmasked(self, request: HttpRequest, pk: int) -> HttpResponse:
        request.method = "GET"  # Django's page of one row, which is read-only anyway
        response = self.changeform_view(request, str(pk), extra_context={"revealed": True})
        response["Cache-Control"] = "no-store"
        return response

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add the context of the page."""
        result = context["original"]
        revealed = bool(context.get("revealed"))
        exclusion_reason = (
            results.with_exclusion_reason(Result.objects.filter(pk=result.pk))
            .get()
            .exclusion_reason
        )
        failed = result.status in RETRYABLE and can(request, RETRY_FAILED)
        executions = history.executions(result)
        context |= {
            "title": _("Task result"),
            "subtitle": None,
            "result": result,
            "status": badge(result),
            **_arguments(result, revealed=revealed),
            **_texts(result, revealed=revealed),
            "executions": [(one, badge(one.result) if one.result else "") for one in executions],
            "current": next(one for one in executions if one.task_id == result.task_id),
            **_relatives(result),
            "inexact_reason": _inexact_reason(result),
            "group": failure_groups.group_of(result.task_id)
            if _can_view_failure_groups(request)
            else None,
            "user_url": _user_url(request, result),
            "may_reveal": can(request, REVEAL_ARGUMENTS) and not revealed,
            "reveal": VERBS[REVEAL_ARGUMENTS],
            "actions": [
                VERBS[verb] for verb in _applicable(result, exclusion_reason) if can(request, verb)
            ],
            "exclusion_reason": label(exclusion_reason) if failed and exclusion_reason else "",
        }
        return super().render_change_form(request, context, *args, **kwargs)


def _applicable(result: Result, exclusion_reason: str) -> list[str]:
    """The applicable verbs. An edit is possible however the arguments were stored."""
    verbs = []
    if result.status in RETRYABLE:
        verbs += {"": [RETRY_FAILED, EDIT_AND_RETRY], "lossy": [EDIT_AND_RETRY]}.get(
            exclusion_reason, []
        )
    if result.status in NOT_STARTED:
        verbs.append(REVOKE)
    if result.status in UNREADY:
        verbs.append(TERMINATE)
    return verbs


def _arguments(result: Result, *, revealed: bool) -> dict[str, Any]:
    """The verdict, and the arguments as a tree; the stored text if they are not exact."""
    verdict, positional, named = result.arguments
    if not revealed:
        positional, named = masks.mask(positional), masks.mask(named)
    pairs = [(str(number), value) for number, value in enumerate(positional, 1)]
    nodes: list[Node] = tree([*pairs, *named.items()])
    text = f"{result.task_args or ''} {result.task_kwargs or ''}".strip()
    return {
        "verdict": verdict,
        "nodes": nodes,
        "stored": "" if verdict == "exact" else _clip(text, revealed=revealed),
    }


def _texts(result: Result, *, revealed: bool) -> dict[str, Any]:
    traceback = _clip(result.traceback or "", revealed=revealed)
    returned = _clip(result.result or "", revealed=revealed)
    return {
        "returned": returned,
        "traceback": tracebacks.frame_groups(traceback),
        "masked": not revealed and _has_masked_values(result),
    }


def _has_masked_values(result: Result) -> bool:
    """Whether any value is masked, also beyond the text that the page shows."""
    texts = (result.task_args, result.task_kwargs, result.result, result.traceback)
    searched = (text[:MAX_SEARCH_LENGTH] for text in texts if text)
    return any(masks.mask_text(text) != text for text in searched)


def _clip(text: str, *, revealed: bool) -> str:
    """The beginning of a text, masked unless it is revealed."""
    beginning = text[: MAX_TEXT_LENGTH + MASK_MARGIN]
    shown = (beginning if revealed else masks.mask_text(beginning))[:MAX_TEXT_LENGTH]
    if len(text) <= MAX_TEXT_LENGTH:
        return shown
    return shown + _("\n… (%(n)s characters)") % {"n": f"{len(text):,}"}


def _relatives(result: Result) -> dict[str, list[tuple[str, str]]]:
    """The task ids and badges of the `parents` (root first) and `children`, in one query."""
    parents = [task_id for task_id in dict.fromkeys([result.root, result.parent]) if task_id]
    children = result.children
    listed = Result.objects.defer("result", "traceback", "task_args", "task_kwargs")
    ids = [*parents, *children]
    stored = listed.in_bulk(ids, field_name="task_id") if ids else {}
    badges = {task_id: badge(row) for task_id, row in stored.items()}
    return {
        "parents": [(task_id, badges.get(task_id, "")) for task_id in parents],
        "children": [(task_id, badges.get(task_id, "")) for task_id in children],
    }


def _inexact_reason(result: Result) -> str:
    """Why the arguments are not exact; empty if it is not known."""
    return (
        str(InexactReason(result.inexact_reason).label)
        if result.inexact_reason in InexactReason.values
        else ""
    )


def _can_view_failure_groups(request: HttpRequest) -> bool:
    return request.user.has_perm("tasks_admin.view_failuregroup")


def _user_url(request: HttpRequest, result: Result) -> str:
    """The page of the user to whom an email was sent, if the viewer has the permission."""
    model = get_user_model()
    _verdict, positional, _named = result.arguments
    if result.task_name not in USER_TASKS or len(positional) != 1:
        return ""
    key = positional[0]
    if not isinstance(key, (int, str)) or len(str(key)) > MAX_KEY_LENGTH or masks.mask(key) != key:
        return ""
    meta = model._meta
    if not request.user.has_perm(f"{meta.app_label}.view_{meta.model_name}"):
        return ""
    try:
        return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[str(key)])
    except NoReverseMatch:
        return ""
