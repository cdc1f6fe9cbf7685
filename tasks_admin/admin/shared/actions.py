"""The page of an action: GET shows its consequence, POST performs it."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import ImproperlyConfigured
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from tasks_admin.admin.shared.forms import build_form, confirmation_of
from tasks_admin.admin.shared.responses import current_user, perform
from tasks_admin.lib.verbs import VERBS
from tasks_admin.models import Operation
from tasks_admin.operations import Confirmation

T = TypeVar("T")


def action_page(
    modeladmin: "ModelAdmin[Any]",
    request: HttpRequest,
    *,
    verb: str,
    act: Callable[[Confirmation], T],
    respond: Callable[[T], HttpResponse],
    back: str,
    subject: str = "",
    hidden: Iterable[tuple[str, str]] = (),
) -> HttpResponse:
    """Show the page of a verb; when it is posted with a valid form, perform the action.

    `act` takes the confirmation and checks the permission. If it refuses, the browser returns to
    `back` with the reason. `hidden` fields are posted with the form. Wrap the view in
    `require_verb`.
    """
    form = build_form(verb, request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        confirmation = confirmation_of(form, current_user(request))
        if confirmation.answers:  # only `operations.start` stores them: better loud than lost
            raise ImproperlyConfigured(f"The verb {verb} cannot store the answers of its form.")
        done = perform(request, lambda: act(confirmation))
        return HttpResponseRedirect(back) if done is None else respond(done)
    return _page(modeladmin, request, verb, form, {"back": back, "subject": subject,
                                                   "hidden": list(hidden)})  # fmt: skip


def to_operation(request: HttpRequest) -> Callable[[Operation], HttpResponse]:
    """Respond with the operation's page."""

    def respond(operation: Operation) -> HttpResponse:
        if operation.state == "pending":
            text = _("Recorded: %(title)s. It starts when another member of staff approves it.")
            messages.success(request, text % {"title": operation.title})
        return HttpResponseRedirect(operation.get_absolute_url())

    return respond


def _page(
    modeladmin: "ModelAdmin[Any]",
    request: HttpRequest,
    verb: str,
    form: Form,
    more: dict[str, Any],
) -> TemplateResponse:
    context = {
        **modeladmin.admin_site.each_context(request),
        "title": VERBS[verb].label,
        "opts": modeladmin.opts,
        "verb": VERBS[verb],
        "form": form,
        **more,
    }
    request.current_app = modeladmin.admin_site.name
    return TemplateResponse(request, "admin/tasks_admin/action.html", context)
