"""Edit and retry: a form of the arguments, a page that asks, then the act."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from tasks_admin import results
from tasks_admin.admin.results.edit_form import EditForm
from tasks_admin.admin.shared.confirm import confirm_action
from tasks_admin.admin.shared.forms import build_form
from tasks_admin.admin.shared.responses import can, current_user
from tasks_admin.lib import masks
from tasks_admin.lib.errors import ConsoleError, NotAllowed, NothingToDo
from tasks_admin.lib.verbs import EDIT_AND_RETRY, REVEAL_ARGUMENTS, VERBS
from tasks_admin.models import Operation
from tasks_admin.results import editing, signatures

#: Characters of what was stored that the form shows where it can't be filled in.
LONGEST = 16_000


class EditAndRetryMixin(ModelAdmin[Any]):
    """Adds the action to a list of results."""

    @admin.action(description=VERBS[EDIT_AND_RETRY].label, permissions=[EDIT_AND_RETRY])
    def edit_and_retry(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Queue the selected failures again, all with the arguments that are asked for."""
        return edit_and_retry_view(self, request, queryset)

    def has_edit_and_retry_permission(self, request: HttpRequest) -> bool:
        """Whether the action is offered."""
        return can(request, EDIT_AND_RETRY)


def edit_and_retry_view(
    modeladmin: "ModelAdmin[Any]",
    request: HttpRequest,
    rows: QuerySet[Any],
    *,
    back: str = "",
    parent: Operation | None = None,
) -> HttpResponse:
    """Ask for one set of arguments for these results, ask again, and do it.

    All steps are posted to the address that this answers at; `back` leads away from it.
    """
    back = back or request.get_full_path()
    try:
        edit = Edit(request, rows)
    except NotAllowed as error:
        raise PermissionDenied(str(error)) from None
    except ConsoleError as error:
        messages.error(request, str(error))
        return HttpResponseRedirect(back)
    form = edit.form
    if not form.is_bound or "edit" in request.POST or not form.is_valid():
        context = {**modeladmin.admin_site.each_context(request), **edit.context(), "back": back}
        context |= {"opts": modeladmin.model._meta, "media": modeladmin.media}
        return TemplateResponse(request, "admin/tasks_admin/edit_and_retry.html", context)
    return confirm_action(
        modeladmin,
        request,
        verb=EDIT_AND_RETRY,
        select=lambda: editing.select(rows),
        act=lambda confirmation: editing.edit_and_retry(
            results=rows,
            args=form.args,
            kwargs=form.named,
            confirmation=confirmation,
            parent=parent,
        ),
        details=lambda selection: edit.summary(),
        back=back,
    )


class Edit:
    """What is edited, and by what it is filled. Raises `ConsoleError` when it can't be."""

    def __init__(self, request: HttpRequest, rows: QuerySet[Any]) -> None:
        self.request, self.rows, actor = request, rows, current_user(request)
        self.task = editing.task_of(rows)
        editing.require(actor, self.task)
        self.count = editing.select(rows).rows.count()
        if not self.count and "confirm" not in request.POST:  # or it was confirmed twice
            text = _("Nothing is left to do: every row was left out.")
            raise NothingToDo(editing.retried(rows) or text)
        self.model = editing.model_of(rows)
        self.alike = editing.alike(rows, self.model)
        self.signature = signatures.of(self.task)
        self.old = editing.before(self.model, self.signature)
        self.revealed = self._revealed()
        data = request.POST if {"check", "confirm", "edit"} & request.POST.keys() else None
        self.form = EditForm(data, signature=self.signature, old=self.old, masked=not self.revealed)

    def context(self) -> dict[str, Any]:
        """What the page with the form shows."""
        return {
            "title": VERBS[EDIT_AND_RETRY].label,
            "verb": VERBS[EDIT_AND_RETRY],
            "task": self.task,
            "count": self.count,
            "alike": self.alike,
            "form": self.form,
            "stored": "" if self.old else self._stored(),
            "spare": self._spare(),
            "selected": self._selected(),
            "may_reveal": self._hides() and can(self.request, REVEAL_ARGUMENTS),
            "reveal": VERBS[REVEAL_ARGUMENTS],
        }

    def summary(self) -> dict[str, Any]:
        """What the page that asks shows: what changes, and what else the task is called with."""
        new = signatures.placed(self.signature, self.form.args, self.form.named)
        changes = editing.changes(self.signature, self.old if self.alike else None, new)
        known = {change["name"] for change in changes}
        masked: dict[str, Any] = {"old": masks.MASK, "new": masks.MASK}
        changes += [{"name": name, **masked} for name in sorted(self.form.over_masks - known)]
        known |= self.form.over_masks
        same = [
            (one.title, editing.brief(one.name, new.values))
            for one in self.signature.parameters
            if one.title not in known and one.name in new.values
        ]
        posted = [*self.form.posted(), ("revealed", self.revealed)]
        return {"task": self.task, "changes": changes, "same": same, "posted": posted}

    def _revealed(self) -> str:
        """The key of the record that somebody was shown what is masked; empty when nobody was."""
        post, actor = self.request.POST, current_user(self.request)
        if "reveal" in post:
            reason = build_form(REVEAL_ARGUMENTS, post)
            if reason.is_valid():
                shown = results.reveal(result=self.model, actor=actor, **reason.cleaned_data)
                return str(shown.key)
            messages.error(self.request, _("Say why, so that it can be looked up later."))
        key = post.get("revealed", "")
        return key if editing.was_revealed(key, actor=actor, result=self.model) else ""

    def _hides(self) -> bool:
        return not self.revealed and masks.MASK in (
            self._stored() + "".join(row.was for row in self.form.rows())
        )

    def _stored(self) -> str:
        text = f"{self.model.task_args or ''} {self.model.task_kwargs or ''}".strip()[:LONGEST]
        return text if self.revealed else masks.mask_text(text)

    def _spare(self) -> list[tuple[str, str]]:
        """What the result had, and its task takes no more."""
        spare = self.old.spare if self.old else {}
        return [(name, editing.brief(name, spare)) for name in spare]

    def _selected(self) -> list[tuple[str, str]]:
        """How the list says what is selected."""
        post = self.request.POST
        across = "1" if post.get("select_across") == "1" else "0"
        ticked = post.getlist(ACTION_CHECKBOX_NAME)
        ticked = ticked[:1] if across == "1" else ticked
        selected = [(ACTION_CHECKBOX_NAME, pk) for pk in ticked]
        return [
            *selected, ("action", EDIT_AND_RETRY), ("select_across", across),
            ("revealed", self.revealed),
        ]  # fmt: skip
