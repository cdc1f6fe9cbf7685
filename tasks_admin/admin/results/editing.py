"""Edit and retry: the form of the arguments, the confirmation page, then the action."""

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

#: Characters of the stored arguments that the page shows if they cannot fill the form.
MAX_STORED_LENGTH = 16_000


class EditAndRetryMixin(ModelAdmin[Any]):
    """Adds the action to the list of results."""

    @admin.action(description=VERBS[EDIT_AND_RETRY].label, permissions=[EDIT_AND_RETRY])
    def edit_and_retry(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Queue the selected failed tasks again, all with the entered arguments."""
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
    """Show the form of the arguments, then the confirmation page, then perform the action.

    All steps are submitted to the URL of this view; `back` is the URL to which it returns.
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
            kwargs=form.kwargs,
            confirmation=confirmation,
            parent=parent,
        ),
        details=lambda selection: edit.summary(),
        back=back,
    )


class Edit:
    """The selected results and the form of their arguments. Raises `ConsoleError`."""

    def __init__(self, request: HttpRequest, rows: QuerySet[Any]) -> None:
        self.request, self.rows, actor = request, rows, current_user(request)
        self.task = editing.single_task(rows)
        editing.require_permissions(actor, self.task)
        self.count = editing.select(rows).rows.count()
        if not self.count and "confirm" not in request.POST:  # a double click confirms twice
            text = _("Nothing to do: none of the selected rows qualifies.")
            raise NothingToDo(editing.describe_retries(rows) or text)
        self.source = editing.latest_failure(rows)
        self.same_arguments = editing.have_same_arguments(rows, self.source)
        self.signature = signatures.signature_of(self.task)
        self.old = editing.stored_arguments(self.source, self.signature)
        self.reveal_key = self._reveal()
        data = request.POST if {"check", "confirm", "edit"} & request.POST.keys() else None
        self.form = EditForm(
            data, signature=self.signature, old=self.old, masked=not self.reveal_key
        )

    def context(self) -> dict[str, Any]:
        """The context of the page with the form."""
        return {
            "title": VERBS[EDIT_AND_RETRY].label,
            "verb": VERBS[EDIT_AND_RETRY],
            "task": self.task,
            "count": self.count,
            "same_arguments": self.same_arguments,
            "form": self.form,
            "stored": "" if self.old else self._stored(),
            "dropped": self._dropped(),
            "selected": self._selected(),
            "may_reveal": self._has_masked_values() and can(self.request, REVEAL_ARGUMENTS),
            "reveal": VERBS[REVEAL_ARGUMENTS],
        }

    def summary(self) -> dict[str, Any]:
        """The context of the confirmation page: the changed and the unchanged arguments."""
        new = signatures.bind(self.signature, self.form.args, self.form.kwargs)
        old = self.old if self.same_arguments else None
        changes = editing.changes(self.signature, old, new)
        changed = {change["name"] for change in changes}
        masked: dict[str, Any] = {"old": masks.MASK, "new": masks.MASK}
        replaced = self.form.replaced_masked
        changes += [{"name": name, **masked} for name in sorted(replaced - changed)]
        unchanged = [
            (one.title, editing.format_value(one.name, new.values))
            for one in self.signature.parameters
            if one.title not in changed | replaced and one.name in new.values
        ]
        submitted = [*self.form.submitted(), ("revealed", self.reveal_key)]
        return {
            "task": self.task,
            "changes": changes,
            "unchanged": unchanged,
            "submitted": submitted,
        }

    def _reveal(self) -> str:
        """The key of the operation that revealed the masked values to the user; else empty."""
        post, actor = self.request.POST, current_user(self.request)
        if "reveal" in post:
            form = build_form(REVEAL_ARGUMENTS, post)
            if form.is_valid():
                operation = results.reveal(result=self.source, actor=actor, **form.cleaned_data)
                return str(operation.key)
            messages.error(self.request, _("Enter a reason to reveal the masked values."))
        key = post.get("revealed", "")
        return key if editing.was_revealed(key, actor=actor, result=self.source) else ""

    def _has_masked_values(self) -> bool:
        return not self.reveal_key and masks.MASK in (
            self._stored() + "".join(row.stored for row in self.form.rows())
        )

    def _stored(self) -> str:
        text = f"{self.source.task_args or ''} {self.source.task_kwargs or ''}"
        text = text.strip()[:MAX_STORED_LENGTH]
        return text if self.reveal_key else masks.mask_text(text)

    def _dropped(self) -> list[tuple[str, str]]:
        """The stored arguments that the task no longer accepts."""
        unexpected = self.old.unexpected if self.old else {}
        return [(name, editing.format_value(name, unexpected)) for name in unexpected]

    def _selected(self) -> list[tuple[str, str]]:
        """The selection, as the list of results submits it."""
        post = self.request.POST
        across = "1" if post.get("select_across") == "1" else "0"
        ticked = post.getlist(ACTION_CHECKBOX_NAME)
        ticked = ticked[:1] if across == "1" else ticked
        selected = [(ACTION_CHECKBOX_NAME, pk) for pk in ticked]
        return [
            *selected, ("action", EDIT_AND_RETRY), ("select_across", across),
            ("revealed", self.reveal_key),
        ]  # fmt: skip
