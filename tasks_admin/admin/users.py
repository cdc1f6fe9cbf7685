"""Users: whichever admin the project has for them, with the action on top."""

from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import ngettext

from tasks_admin.accounts import resets
from tasks_admin.admin.exchange import UserExchange
from tasks_admin.admin.shared.confirm import SafeActionsMixin, confirm_action
from tasks_admin.admin.shared.responses import can, current_user
from tasks_admin.lib.verbs import SEND_RESET_EMAIL, VERBS
from tasks_admin.operations import Selection

#: Names of superusers that the confirm page lists.
MOST_NAMES = 20


class ResetActions(SafeActionsMixin, UserExchange):
    """What the console adds to a user admin."""

    actions = ("send_reset_email",)

    @admin.action(description=VERBS[SEND_RESET_EMAIL].label, permissions=[SEND_RESET_EMAIL])
    def send_reset_email(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Queue a reset mail to each selected user."""
        return confirm_action(
            self,
            request,
            verb=SEND_RESET_EMAIL,
            select=lambda: resets.select(queryset, actor=current_user(request)),
            act=lambda confirmation: resets.send_to_all(users=queryset, confirmation=confirmation),
            details=lambda selection: {"superusers": _superusers(selection)},
        )

    def has_send_reset_email_permission(self, request: HttpRequest) -> bool:
        """Whether the action is offered."""
        return can(request, SEND_RESET_EMAIL)


def _superusers(selection: Selection) -> list[str]:
    """Names of superusers who would be mailed; the last entry says how many more there are."""
    model = get_user_model()
    if not hasattr(model, "is_superuser"):
        return []
    chosen = selection.rows.filter(is_superuser=True).order_by("pk")
    names = list(chosen.values_list(model.USERNAME_FIELD, flat=True)[:MOST_NAMES])
    more = chosen.count() - len(names) if len(names) == MOST_NAMES else 0
    said = ngettext("and %(n)d more", "and %(n)d more", more) % {"n": more}
    return [*names, said] if more > 0 else names


def register() -> None:
    """Put the action on the user admin that is registered, or on Django's own."""
    model = get_user_model()
    registered = admin.site._registry.get(model)
    base: type[Any] = type(registered) if registered else DjangoUserAdmin
    if registered:
        admin.site.unregister(model)
    actions = [*(base.actions or []), *ResetActions.actions]
    admin.site.register(model, type("UserAdmin", (ResetActions, base), {"actions": actions}))


register()
