"""Resets: select users and mail them, send one mail, and choose the new password."""

import unicodedata
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import password_changed
from django.db import transaction
from django.db.models import F, QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _

from tasks_admin import operations
from tasks_admin.accounts import tokens
from tasks_admin.accounts.eligibility import with_exclusion_reason
from tasks_admin.integrations.mail import emails
from tasks_admin.integrations.mail.addresses import address_of, is_deliverable
from tasks_admin.lib.conf import settings
from tasks_admin.lib.errors import LinkUsed
from tasks_admin.lib.verbs import (
    NOTIFY_PASSWORD_CHANGED,
    REQUEST_RESET_EMAIL,
    RETRIES,
    SEND_RESET_EMAIL,
)
from tasks_admin.models import Operation, Reset, Target
from tasks_admin.models.lock_keys import LockKind, lock_key, lock_key_expression
from tasks_admin.models.targets import TargetState
from tasks_admin.operations import Confirmation, Selection, deliveries

if TYPE_CHECKING:
    from django.contrib.auth.models import User

#: Accounts that may be mailed because one address was typed once.
MOST_HOLDERS = 10


def select(users: QuerySet[Any], *, actor: "User") -> Selection:
    """Say which of these users would be mailed, and how many are left out for which reason."""
    seen = with_exclusion_reason(users, actor=actor, again=False)
    return Selection(
        rows=_rows(seen.filter(exclusion_reason="")), excluded=operations.count_exclusions(seen)
    )


def send_to_all(*, users: QuerySet[Any], confirmation: Confirmation) -> Operation:
    """Queue a reset email to each of these users who is eligible."""
    actor = operations.require_actor(confirmation, SEND_RESET_EMAIL)
    return operations.start(
        verb=SEND_RESET_EMAIL,
        selection=select(users, actor=actor),
        confirmation=confirmation,
    )


def request(*, users: QuerySet[Any], actor: "User | None") -> Operation:
    """Queue a reset mail to users who asked for one themselves.

    The same statements run whether or not anybody matched, so the time tells nothing.
    """
    return operations.start(
        verb=REQUEST_RESET_EMAIL,
        selection=Selection(rows=_rows(users), excluded={}),
        confirmation=Confirmation(actor=actor),
        may_be_empty=True,
    )


def request_own(user: "User") -> str:
    """Queue a reset mail to a user who is signed in; return the id of the task that sends it.

    That is an older one when the user waits for a mail already.
    """
    users = get_user_model()._default_manager.filter(pk=user.pk)
    operation = request(users=users, actor=user)
    if target := operation.targets.first():
        return target.task_id_of(1)
    waiting = Target.objects.open().filter(lock_key=lock_key(LockKind.USER, user.pk))
    awaited = waiting.select_related("operation").first()
    if awaited is None:  # it went out just now
        return ""
    return awaited.task_id_of(awaited.attempt + (awaited.state == TargetState.WAITING))


def folded(address: str) -> str:
    """An address in the form in which two spellings of it are equal."""
    return unicodedata.normalize("NFKC", address).casefold().strip()


def holders_of(address: str) -> QuerySet[Any]:
    """The users with this address. The mail goes to the address on record, not to the typed one."""
    model = get_user_model()
    field = model.get_email_field_name()
    users = model._default_manager.filter(**{f"{field}__iexact": address})
    # The database may fold more letters than are equal (a dotless i, a long s).
    first = users.order_by("pk")[:MOST_HOLDERS]
    same = [user.pk for user in first if folded(address_of(user)) == folded(address)]
    return model._default_manager.filter(pk__in=same)


def _rows(users: QuerySet[Any]) -> QuerySet[Any, tuple[str, str]]:
    key = lock_key_expression(LockKind.USER, F("pk"))
    return operations.selected(users, subject=F("pk"), lock_key=key)


def send(*, user_pk: Any, task_id: str, lease: float) -> dict[str, str]:
    """Send one reset mail, for a task that was claimed; return what became of it.

    The token is made here, and exists in the mail alone. Raises `MailRefused` when it is over,
    `MailDelayed` when the target waits for its next try.
    """
    target = _target_of(task_id, user_pk, lease)
    if target is None:
        known = get_user_model()._default_manager.filter(pk=user_pk).exists()
        return {"outcome": "skipped", "reason": "pending" if known else "gone"}
    user, exclusion_reason = _look_at(user_pk, target)
    reset = None if exclusion_reason else _raise_generation(user, target)
    if reset is None:
        return deliveries.settle(target, TargetState.SKIPPED, exclusion_reason or "replaced")
    token = urlencode({"token": tokens.sign(user, reset.generation)})
    link = f"{django_settings.HOST_URL}{reverse('tasks_admin:choose')}?{token}"
    context = {"link": link, "minutes": settings.RESET_TIMEOUT // 60}
    deliveries.deliver(
        emails.build_email("reset", user=user, target=target, context=context), target
    )
    return deliveries.mark_sent(target, user)


def _target_of(task_id: str, user_pk: Any, lease: float) -> Target | None:
    """The claimed target; for a task that another program queued, one is recorded now."""
    claimed = Target.objects.for_current_attempt(task_id).select_related("operation")
    if target := claimed.filter(state=TargetState.RUNNING).first():
        return target
    if Target.objects.for_task_id(task_id).exists():  # ours, and taken back since it was claimed
        return None
    users = get_user_model()._default_manager.filter(pk=user_pk)
    rows = _rows(users)
    return operations.adopt(verb=REQUEST_RESET_EMAIL, rows=rows, task_id=task_id, lease=lease)


def _look_at(user_pk: Any, target: Target) -> tuple[Any, str]:
    """Return the user as of now, and the reason why no mail may go out, or ''."""
    operation = target.operation
    staff = operation.verb in {SEND_RESET_EMAIL, *RETRIES}
    actor = operation.actor if staff else None
    if staff and not operations.still_allowed(operation):
        return None, "actor"
    users = get_user_model()._default_manager.filter(pk=user_pk)
    user = with_exclusion_reason(users, actor=actor).first()
    if user is None:
        return None, "gone"
    if not user.exclusion_reason and not is_deliverable(address_of(user)):
        return user, "bad_address"
    mailed = Reset.objects.recent().filter(pk=user.pk).exclude(target_id=target.pk)
    if staff and not user.exclusion_reason and mailed.exists():
        return user, "recent"
    return user, user.exclusion_reason


def _raise_generation(user: "User", target: Target) -> Reset | None:
    """Make all older links of the user useless; None when a newer request did so to ours.

    Several tries for one target share a generation: should a mail go out twice, both links work
    until one is used.
    """
    Reset.objects.bulk_create([Reset(user=user)], ignore_conflicts=True)
    mine = Reset.objects.filter(pk=user.pk, target_id=target.pk)
    if not mine.exists():
        if target.tries > 1 and Reset.objects.filter(pk=user.pk, target_id__gt=target.pk).exists():
            return None
        Reset.objects.filter(pk=user.pk).update(generation=F("generation") + 1, target_id=target.pk)
    return mine.first()


def notify_changed(*, user_pk: Any, task_id: str) -> dict[str, str]:
    """Tell a user by mail that their password was changed."""
    target = Target.objects.for_current_attempt(task_id).select_related("operation").get()
    user = get_user_model()._default_manager.filter(pk=user_pk).first()
    if user is None or not is_deliverable(address_of(user)):
        return deliveries.settle(target, TargetState.SKIPPED, "bad_address" if user else "gone")
    deliveries.deliver(emails.build_email("changed", user=user, target=target, context={}), target)
    return deliveries.mark_sent(target)


def holder(token: object) -> "User":
    """Return the user whose link this is; raises `LinkRefused`. Changes nothing."""
    claim = tokens.read(token)
    users = get_user_model()._default_manager
    user = users.filter(pk=claim.user_pk, is_active=True).first()
    current = Reset.objects.filter(pk=claim.user_pk, generation=claim.generation)
    if user is None or not tokens.fits(claim, user) or not current.exists():
        raise LinkUsed(_("This link was used already, or a newer one took its place."))
    return user


def choose(*, token: object, password: str) -> None:
    """Set the password of the link's holder, and use the link up in the same transaction.

    Of any number of simultaneous calls one succeeds; the others raise `LinkUsed`. The user's
    sessions end, because they are bound to the password.
    """
    claim = tokens.read(token)
    hashed = make_password(password)  # before the transaction: it takes a third of a second
    with transaction.atomic():
        unused = Reset.objects.filter(pk=claim.user_pk, generation=claim.generation)
        if not unused.update(generation=F("generation") + 1, target_id=None):
            raise LinkUsed(_("This link was used already, or a newer one took its place."))
        users = get_user_model()._default_manager.select_for_update()
        user = users.filter(pk=claim.user_pk, is_active=True).first()
        if user is None or not tokens.fits(claim, user):
            raise LinkUsed(_("This link was used already, or a newer one took its place."))
        user.password = hashed
        user.save(update_fields=["password"])
        password_changed(password, user)
        own = get_user_model()._default_manager.filter(pk=user.pk)
        operations.start(
            verb=NOTIFY_PASSWORD_CHANGED,
            selection=Selection(rows=operations.selected(own, subject=F("pk")), excluded={}),
            confirmation=Confirmation(actor=user),
        )
