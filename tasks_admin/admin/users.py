"""Users: adds the action to the user admin that the project has registered."""

from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import ngettext

from tasks_admin import accounts
from tasks_admin.admin.exchange import UserExchangeMixin
from tasks_admin.admin.shared.confirm import SafeActionsMixin, confirm_action
from tasks_admin.admin.shared.responses import can, current_user
from tasks_admin.lib.verbs import SEND_RESET_EMAIL, VERBS
from tasks_admin.operations import Selection

#: The maximum number of superusers that the confirmation page names.
MAX_NAMES = 20


class UserActionsMixin(SafeActionsMixin, UserExchangeMixin):
    """What the console adds to a user admin."""

    actions = ("send_reset_email",)

    @admin.action(description=VERBS[SEND_RESET_EMAIL].label, permissions=[SEND_RESET_EMAIL])
    def send_reset_email(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Queue a reset email to each selected user who is eligible."""
        return confirm_action(
            self,
            request,
            verb=SEND_RESET_EMAIL,
            select=lambda: accounts.select(queryset, actor=current_user(request)),
            act=lambda confirmation: accounts.send_reset_emails(
                users=queryset, confirmation=confirmation
            ),
            details=lambda selection: {"superusers": _superusers(selection)},
        )

    def has_send_reset_email_permission(self, request: HttpRequest) -> bool:
        """Whether the action is offered."""
        return can(request, SEND_RESET_EMAIL)


def _superusers(selection: Selection) -> list[str]:
    """The names of selected superusers; the last entry is the number of further ones, if any."""
    model = get_user_model()
    if not hasattr(model, "is_superuser"):
        return []
    superusers = selection.rows.filter(is_superuser=True).order_by("pk")
    names = list(superusers.values_list(model.USERNAME_FIELD, flat=True)[:MAX_NAMES])
    n = superusers.count() - len(names) if len(names) == MAX_NAMES else 0
    if n <= 0:
        return names
    return [*names, ngettext("and %(n)s more", "and %(n)s more", n) % {"n": f"{n:,}"}]


def register() -> None:
    """Extend the registered user admin, or Django's own if there is none."""
    model = get_user_model()
    registered = admin.site._registry.get(model)
    base: type[Any] = type(registered) if registered else DjangoUserAdmin
    if registered:
        admin.site.unregister(model)
    actions = [*(base.actions or []), *UserActionsMixin.actions]
    admin.site.register(model, type("UserAdmin", (UserActionsMixin, base), {"actions": actions}))


register()
