"""Convert the errors of actions into responses; the only place that does so."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from django.contrib import messages
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods

from tasks_admin import operations
from tasks_admin.lib.errors import ConsoleError, NotAllowed, SelectionChanged, WrongArguments

T = TypeVar("T")


def current_user(request: HttpRequest) -> User:
    """The signed-in user; `admin_view` requires one."""
    if not isinstance(request.user, get_user_model()):
        raise PermissionDenied
    return request.user


def can(request: HttpRequest, verb: str) -> bool:
    """Whether the signed-in user has the verb's permission."""
    try:
        operations.require(current_user(request), verb)
    except NotAllowed:
        return False
    return True


def require_verb(verb: str, view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """The view of a verb: 403 without its permission; GET shows the action, POST performs it."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not can(request, verb):
            raise PermissionDenied
        allowed = require_http_methods(["GET", "HEAD", "POST"])(view)
        response: HttpResponse = allowed(request, *args, **kwargs)
        return response

    return guarded


def perform(request: HttpRequest, action: Callable[[], T], *, form: Form | None = None) -> T | None:
    """Perform an action; return None when it was refused, and show the reason.

    A missing permission becomes a 403; wrong arguments are shown at the form's fields.
    `SelectionChanged` is raised: the confirmation page is shown again.
    """
    try:
        return action()
    except SelectionChanged:
        raise
    except NotAllowed as error:
        raise PermissionDenied(str(error)) from None
    except WrongArguments as error:
        for name, problem in error.problems.items():
            if form is None:
                messages.error(request, f"{name}: {problem}")
            else:
                form.add_error(name if name in form.fields else None, problem)
        return None
    except ConsoleError as error:
        messages.error(request, str(error))
        return None
