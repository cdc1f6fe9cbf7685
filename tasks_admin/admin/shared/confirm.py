"""The confirmation page of a bulk action: its consequence and its rows, then the action."""

import uuid
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME, ActionForm
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from tasks_admin.admin.shared.forms import build_form, confirmation_of
from tasks_admin.admin.shared.responses import can, current_user, perform
from tasks_admin.lib.errors import SelectionChanged
from tasks_admin.lib.reasons import label
from tasks_admin.lib.verbs import VERBS
from tasks_admin.models import Operation
from tasks_admin.models.operations import OperationState
from tasks_admin.operations import Confirmation, Selection


def confirm_action(
    modeladmin: "ModelAdmin[Any]",
    request: HttpRequest,
    *,
    verb: str,
    select: Callable[[], Selection],
    act: Callable[[Confirmation], Operation],
    details: Callable[[Selection], dict[str, Any]] = lambda selection: {},
    back: str = "",
) -> HttpResponse:
    """Show the confirmation page of a verb; when it is posted confirmed, perform the action.

    `act` takes the confirmation and checks the permission. `details` adds to the page's
    context.
    """
    if not can(request, verb):
        raise PermissionDenied
    back = back or request.get_full_path()
    form = build_form(verb, request.POST if "confirm" in request.POST else None, bulk=True)
    if form.is_bound and form.is_valid():
        confirmation = confirmation_of(form, current_user(request))
        try:
            operation = perform(request, lambda: act(confirmation))
        except SelectionChanged as error:
            messages.warning(request, str(error))
            form = build_form(verb, bulk=True, initial=form.cleaned_data)
        else:
            if operation is None:
                return HttpResponseRedirect(back)
            messages.success(request, started(operation))
            return HttpResponseRedirect(operation.get_absolute_url())
    selection = select()
    return _page(modeladmin, request, verb, selection, form, {"back": back} | details(selection))


def started(operation: Operation) -> str:
    """The message after an operation has been recorded."""
    if operation.state == OperationState.PENDING:
        text = _("Recorded: %(title)s. It starts when another member of staff approves it.")
        return text % {"title": operation.title}
    return ngettext(
        "Queued: %(title)s, %(count)s target. This page updates as it is processed.",
        "Queued: %(title)s, %(count)s targets. This page updates as they are processed.",
        operation.total,
    ) % {"title": operation.title, "count": f"{operation.total:,}"}


def _page(
    modeladmin: "ModelAdmin[Any]",
    request: HttpRequest,
    verb: str,
    selection: Selection,
    form: Form,
    more: dict[str, Any],
) -> TemplateResponse:
    fingerprint = selection.fingerprint()
    across = ActionForm.base_fields["select_across"].clean(request.POST.get("select_across"))
    ticked = request.POST.getlist(ACTION_CHECKBOX_NAME)
    opts = modeladmin.model._meta
    context = {
        **modeladmin.admin_site.each_context(request),
        "title": VERBS[verb].label,
        "opts": opts,
        "media": modeladmin.media,
        "verb": VERBS[verb],
        "form": form,
        "count": int(fingerprint.partition(":")[0]),
        "excluded": [(label(code), number) for code, number in selection.excluded.items()],
        "excluded_count": sum(selection.excluded.values()),
        "shown": fingerprint,
        "key": uuid.uuid4(),
        "across": int(across),
        "ticked": ticked[:1] if across else ticked,
        "checkbox": ACTION_CHECKBOX_NAME,
        **more,
    }
    request.current_app = modeladmin.admin_site.name
    templates = [
        f"admin/{opts.app_label}/{opts.model_name}/confirm_{verb}.html",
        f"admin/tasks_admin/confirm_{verb}.html",
        "admin/tasks_admin/confirm.html",
    ]
    return TemplateResponse(request, templates, context)


class SafeActionsMixin(ModelAdmin[Any]):
    """Responds to an unreadable selection with a message, and to a missing permission with 403.

    Django would show an error page, or the list without a message.
    """

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Refuse an action without its permission before any row is read."""
        chosen = {*request.POST.getlist("action")} & VERBS.keys()
        if not all(can(request, verb) for verb in chosen):
            raise PermissionDenied
        return super().changelist_view(request, extra_context)

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **kwargs: Any
    ) -> HttpResponse | None:
        """Run the chosen action."""
        try:
            for pk in request.POST.getlist(ACTION_CHECKBOX_NAME):
                self.opts.pk.clean(pk, None)
        except ValidationError:
            text = _("The selection could not be read. Nothing was changed. Select the rows again.")
            messages.error(request, text)
            return HttpResponseRedirect(request.get_full_path())
        return super().response_action(request, queryset, *args, **kwargs)
