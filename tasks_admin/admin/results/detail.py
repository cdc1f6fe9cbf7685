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
from tasks_admin.admin.results.filters import StatusFilter
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
from tasks_admin.models.result_states import NOT_STARTED, RETRYABLE, UNREADY
from tasks_admin.models.results import InexactReason
from tasks_admin.results import failure_groups, history

#: Characters of any text that the page shows, and in which it looks for what is masked.
LONGEST, SEARCHED = 64_000, 1_000_000
#: Characters beyond them that are read all the same: half a secret does not look like one.
MARGIN = 10_000
#: Characters of a user's key.
LONGEST_KEY = 100
#: The tasks whose only argument is a user's key.
FOR_USERS = {
    verb.task for verb in VERBS.values() if verb.task and verb.target_type == TargetType.USER
}


def badge(result: Result) -> str:
    """The status as a badge that says it in words too."""
    words = dict(StatusFilter.lookups(None, None, None))  # type: ignore[arg-type]
    word = words.get(result.status, result.status)
    return format_html('<span class="badge {}">{}</span>', result.status.lower(), word)


class ResultPage(ModelAdmin[Any]):
    """One result: what was asked, what came back, and where it belongs."""

    change_form_template = "admin/tasks_admin/result/change_form.html"

    def get_urls(self) -> list[Any]:
        """Add the address of a result by its task id, and of what is masked in it."""
        view, reveal = self.admin_site.admin_view, require_verb(REVEAL_ARGUMENTS, self.reveal)
        return [
            path("of/", view(self.of), name="tasks_admin_result_of"),
            path("<int:pk>/reveal/", view(reveal), name="tasks_admin_result_reveal"),
            *super().get_urls(),
        ]

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

    def reveal(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show the page once without masks, after the view and its reason have been recorded."""
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
        """Add what belongs to one result: its operation, and the attempts before and after it."""
        result = context["original"]
        revealed = bool(context.get("revealed"))
        exclusion_reason = (
            results.with_exclusion_reason(Result.objects.filter(pk=result.pk))
            .get()
            .exclusion_reason
        )
        failed = result.status in RETRYABLE and can(request, RETRY_FAILED)
        steps = history.executions(result)
        context |= {
            "title": _("Task result"),
            "subtitle": None,
            "result": result,
            "state": badge(result),
            **_arguments(result, revealed=revealed),
            **_texts(result, revealed=revealed),
            "steps": [(step, badge(step.result) if step.result else "") for step in steps],
            "this": next(step for step in steps if step.task_id == result.task_id),
            "family": _family(result),
            "inexact_reason": _inexact_reason(result),
            "group": failure_groups.group_of(result.task_id)
            if _can_view_failure_groups(request)
            else None,
            "user_url": _user_url(request, result),
            "may_reveal": can(request, REVEAL_ARGUMENTS) and not revealed,
            "reveal": VERBS[REVEAL_ARGUMENTS],
            "actions": [
                VERBS[verb] for verb in _possible(result, exclusion_reason) if can(request, verb)
            ],
            "why_not": label(exclusion_reason) if failed and exclusion_reason else "",
        }
        return super().render_change_form(request, context, *args, **kwargs)


def _possible(result: Result, exclusion_reason: str) -> list[str]:
    """What can be done with it; how its arguments were stored does not matter for an edit."""
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
    """The verdict, and the arguments as a tree; as they are stored when they can't be read."""
    verdict, positional, named = result.arguments
    if not revealed:
        positional, named = masks.mask(positional), masks.mask(named)
    pairs = [(str(number), value) for number, value in enumerate(positional, 1)]
    nodes: list[Node] = tree([*pairs, *named.items()])
    text = f"{result.task_args or ''} {result.task_kwargs or ''}".strip()
    return {
        "verdict": verdict,
        "nodes": nodes,
        "stored": "" if verdict == "exact" else _shown(text, revealed=revealed),
    }


def _texts(result: Result, *, revealed: bool) -> dict[str, Any]:
    traceback = _shown(result.traceback or "", revealed=revealed)
    returned = _shown(result.result or "", revealed=revealed)
    return {
        "returned": returned,
        "traceback": tracebacks.frame_groups(traceback),
        "masked": not revealed and _hides(result),
    }


def _hides(result: Result) -> bool:
    """Whether something in it is masked, also beyond what the page shows."""
    texts = (result.task_args, result.task_kwargs, result.result, result.traceback)
    seen = (text[:SEARCHED] for text in texts if text)
    return any(masks.mask_text(text) != text for text in seen)


def _shown(text: str, *, revealed: bool) -> str:
    """Text as the page shows it: its beginning, masked unless somebody was allowed to look."""
    seen = text[: LONGEST + MARGIN]
    shown = (seen if revealed else masks.mask_text(seen))[:LONGEST]
    return shown if len(text) <= LONGEST else f"{shown}\n… ({len(text)})"


def _family(result: Result) -> dict[str, list[tuple[str, str]]]:
    """The tasks that it descends from, and those that it queued, with their states; one query."""
    ids = {"above": _above(result), "children": result.children}
    known = Result.objects.defer("result", "traceback", "task_args", "task_kwargs")
    every = [task_id for some in ids.values() for task_id in some]
    found = known.in_bulk(every, field_name="task_id") if every else {}
    return {
        kind: [(task_id, badge(found[task_id]) if task_id in found else "") for task_id in some]
        for kind, some in ids.items()
    }


def _above(result: Result) -> list[str]:
    """The root of its tree, and the task that queued it, each once."""
    return [task_id for task_id in dict.fromkeys([result.root, result.parent]) if task_id]


def _inexact_reason(result: Result) -> str:
    """Why its arguments are not exact, in words, where we know."""
    return (
        str(InexactReason(result.inexact_reason).label)
        if result.inexact_reason in InexactReason.values
        else ""
    )


def _can_view_failure_groups(request: HttpRequest) -> bool:
    return request.user.has_perm("tasks_admin.view_failuregroup")


def _user_url(request: HttpRequest, result: Result) -> str:
    """The page of the user whom a mail of ours was for, for who may look at it."""
    model = get_user_model()
    _verdict, positional, _named = result.arguments
    if result.task_name not in FOR_USERS or len(positional) != 1:
        return ""
    key = positional[0]
    if not isinstance(key, (int, str)) or len(str(key)) > LONGEST_KEY or masks.mask(key) != key:
        return ""
    meta = model._meta
    if not request.user.has_perm(f"{meta.app_label}.view_{meta.model_name}"):
        return ""
    try:
        address = f"admin:{meta.app_label}_{meta.model_name}_change"
        return reverse(address, args=[str(key)])
    except NoReverseMatch:
        return ""
