"""The columns of the list of results: kept for a person, and in the session for each page."""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest

from tasks_admin.admin.shared.responses import current_user
from tasks_admin.models import ColumnChoice

#: What the session calls them.
NAME = "tasks_admin_result_columns"


def chosen(request: HttpRequest) -> list[str]:
    """What this person chose; empty: the usual ones. No page asks the database for it."""
    return list(request.session.get(NAME, [])) if hasattr(request, "session") else []


def keep(request: HttpRequest, names: Iterable[str]) -> None:
    """Remember them for this person, here and in every session that begins later."""
    request.session[NAME] = list(names)
    ColumnChoice.objects.update_or_create(
        user=current_user(request), defaults={"names": request.session[NAME]}
    )


@receiver(user_logged_in, dispatch_uid="tasks_admin.columns")
def recall(request: HttpRequest | None = None, user: Any = None, **_: Any) -> None:
    """Bring them into a session that begins."""
    if request is None or not hasattr(request, "session"):
        return
    rows = ColumnChoice.objects.filter(user=user.pk)
    if names := rows.values_list("names", flat=True).first():
        request.session[NAME] = names
