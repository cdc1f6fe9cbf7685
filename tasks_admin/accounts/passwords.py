"""The public part of a reset: the user of a link, and setting the new password."""

from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import password_changed
from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from tasks_admin import operations
from tasks_admin.accounts import tokens
from tasks_admin.lib.errors import LinkUsed
from tasks_admin.lib.verbs import NOTIFY_PASSWORD_CHANGED
from tasks_admin.models import Reset
from tasks_admin.operations import Confirmation, Selection

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def user_of_link(token: object) -> "User":
    """Return the user for whom the link was made; raises `LinkInvalid`. Changes nothing."""
    payload = tokens.parse(token)
    users = get_user_model()._default_manager
    user = users.filter(pk=payload.user_pk, is_active=True).first()
    current = Reset.objects.filter(pk=payload.user_pk, generation=payload.generation)
    if user is None or not tokens.matches(payload, user) or not current.exists():
        raise _link_used()
    return user


def set_password(*, token: object, password: str) -> None:
    """Set the password of the link's user, and use up the link in the same transaction.

    Of any number of concurrent calls one succeeds; the others raise `LinkUsed`. The user's
    sessions end, because they are bound to the password.
    """
    payload = tokens.parse(token)
    hashed = make_password(password)  # before the transaction: hashing takes a third of a second
    with transaction.atomic():
        unused = Reset.objects.filter(pk=payload.user_pk, generation=payload.generation)
        if not unused.update(generation=F("generation") + 1, target_id=None):
            raise _link_used()
        users = get_user_model()._default_manager.select_for_update()
        user = users.filter(pk=payload.user_pk, is_active=True).first()
        if user is None or not tokens.matches(payload, user):
            raise _link_used()
        user.password = hashed
        user.save(update_fields=["password"])
        password_changed(password, user)
        _queue_notification(user)


def _queue_notification(user: "User") -> None:
    rows = get_user_model()._default_manager.filter(pk=user.pk)
    operations.start(
        verb=NOTIFY_PASSWORD_CHANGED,
        selection=Selection(rows=operations.selected(rows, subject=F("pk")), excluded={}),
        confirmation=Confirmation(actor=user),
    )


def _link_used() -> LinkUsed:
    """The same text for used, replaced and deleted: it reveals nothing about the account."""
    return LinkUsed(_("It was already used or replaced by a newer one."))
