"""The two steps of an act: a page that says what will happen, then the act itself."""

import uuid
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME, ActionForm
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from tasks_admin import operations
from tasks_admin.accounts.forms import ConfirmForm
from tasks_admin.lib.errors import ConsoleError, NotAllowed, SelectionChanged
from tasks_admin.lib.reasons import label
from tasks_admin.lib.verbs import VERBS
from tasks_admin.models import Operation
from tasks_admin.models.operations import OperationState
from tasks_admin.operations import Selection


def confirm_action(
    modeladmin: "ModelAdmin[Any]",
    request: HttpRequest,
    *,
    verb: str,
    select: Callable[[], Selection],
    act: Callable[..., Operation],
    warn: Callable[[Selection], dict[str, Any]] = lambda selection: {},
    back: str = "",
) -> HttpResponse:
    """Show the confirm page of a verb; when it comes back confirmed, do it.

    `act` takes `reason`, `key` and `shown`, and is where permissions are really checked.
    """
    try:
        operations.require(current_user(request), verb)
    except NotAllowed as error:
        raise PermissionDenied(str(error)) from None
    form = ConfirmForm(request.POST if "confirm" in request.POST else None)
    if form.is_bound and form.is_valid():
        try:
            operation = act(**form.cleaned_data)
        except SelectionChanged as error:
            messages.warning(request, str(error))
            form = ConfirmForm(initial=form.cleaned_data)
        except ConsoleError as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(back or request.get_full_path())
        else:
            messages.success(request, queued(operation))
            return HttpResponseRedirect(operation.get_absolute_url())
    selection = select()
    more = {"back": back or request.get_full_path(), **warn(selection)}
    return _page(modeladmin, request, verb, selection, form, more)


def current_user(request: HttpRequest) -> User:
    """Who asks; `admin_view` has seen to it that somebody is signed in."""
    if not isinstance(request.user, get_user_model()):
        raise PermissionDenied
    return request.user


def can(request: HttpRequest, verb: str) -> bool:
    """Whether a verb is offered to who asks."""
    try:
        operations.require(current_user(request), verb)
    except NotAllowed:
        return False
    return True


def require_verb_post(verb: str, view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A view that does what a verb says: 403 for who may not, by any method; then POST alone."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not can(request, verb):
            raise PermissionDenied
        answer: HttpResponse = require_POST(view)(request, *args, **kwargs)
        return answer

    return guarded


def queued(operation: Operation) -> str:
    """What was done: recorded. What becomes of it, the operation's page tells."""
    if operation.state == OperationState.PENDING:
        return _("Recorded: %(title)s. It begins when somebody else has approved it.") % {
            "title": operation.title
        }
    return ngettext(
        "Queued: %(title)s, %(count)d target. This page tells what becomes of it.",
        "Queued: %(title)s, %(count)d targets. This page tells what becomes of them.",
        operation.total,
    ) % {"title": operation.title, "count": operation.total}


def _page(
    modeladmin: "ModelAdmin[Any]",
    request: HttpRequest,
    verb: str,
    selection: Selection,
    form: ConfirmForm,
    more: dict[str, Any],
) -> TemplateResponse:
    fingerprint = selection.fingerprint()
    count = int(fingerprint.partition(":")[0])
    across = ActionForm.base_fields["select_across"].clean(request.POST.get("select_across"))
    ticked = request.POST.getlist(ACTION_CHECKBOX_NAME)
    context = {
        **modeladmin.admin_site.each_context(request),
        "title": VERBS[verb].label,
        "opts": modeladmin.model._meta,
        "media": modeladmin.media,
        "verb": VERBS[verb],
        "form": form,
        "count": count,
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
    opts = modeladmin.model._meta
    return TemplateResponse(
        request,
        [
            f"admin/{opts.app_label}/{opts.model_name}/confirm_{verb}.html",
            f"admin/tasks_admin/confirm_{verb}.html",
            "admin/tasks_admin/confirm.html",
        ],
        context,
    )


class SafeActionsMixin(ModelAdmin[Any]):
    """Answers a garbled selection with a sentence, and who may not do it with 403.

    Django would show an error page, and the list once more as if nothing had been asked.
    """

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Refuse what is not permitted before anything is read."""
        chosen = {*request.POST.getlist("action")} & VERBS.keys()
        if not all(can(request, verb) for verb in chosen):
            raise PermissionDenied
        return super().changelist_view(request, extra_context)

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **kwargs: Any
    ) -> HttpResponse | None:
        """Run the action that was chosen."""
        try:
            for pk in request.POST.getlist(ACTION_CHECKBOX_NAME):
                self.opts.pk.clean(pk, None)
        except ValidationError:
            text = _("The selection could not be read, and nothing was done. Select again.")
            messages.error(request, text)
            return HttpResponseRedirect(request.get_full_path())
        return super().response_action(request, queryset, *args, **kwargs)
