"""The selected columns of the list of results: stored per user, and cached in the session."""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest

from tasks_admin.admin.shared.responses import current_user
from tasks_admin.models import ColumnChoice

#: Their key in the session.
SESSION_KEY = "tasks_admin_result_columns"


def selected(request: HttpRequest) -> list[str]:
    """The columns that the user selected; empty: the default ones. Needs no query."""
    return list(request.session.get(SESSION_KEY, [])) if hasattr(request, "session") else []


def save(request: HttpRequest, names: Iterable[str]) -> None:
    """Store the selection for this session and all later sessions of the user."""
    request.session[SESSION_KEY] = list(names)
    ColumnChoice.objects.update_or_create(
        user=current_user(request), defaults={"names": request.session[SESSION_KEY]}
    )


@receiver(user_logged_in, dispatch_uid="tasks_admin.columns")
def load(request: HttpRequest | None = None, user: Any = None, **_: Any) -> None:
    """Load the selection into a new session."""
    if request is None or not hasattr(request, "session"):
        return
    rows = ColumnChoice.objects.filter(user=user.pk)
    if names := rows.values_list("names", flat=True).first():
        request.session[SESSION_KEY] = names
