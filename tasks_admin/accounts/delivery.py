"""What the tasks do for one user: send the reset email, or notify about a changed password."""

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.db.models import F
from django.urls import reverse

from tasks_admin import operations
from tasks_admin.accounts import tokens
from tasks_admin.accounts.actions import target_rows
from tasks_admin.accounts.eligibility import with_exclusion_reason
from tasks_admin.integrations.mail import emails
from tasks_admin.integrations.mail.addresses import address_of, is_deliverable
from tasks_admin.lib.conf import settings
from tasks_admin.lib.verbs import REQUEST_RESET_EMAIL, RETRIES, SEND_RESET_EMAIL
from tasks_admin.models import Reset, Target
from tasks_admin.models.targets import TargetState
from tasks_admin.operations import deliveries

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def deliver_reset_email(*, user_pk: Any, task_id: str, lease: float) -> dict[str, str]:
    """Send one reset email for a claimed task; return the outcome of its target.

    The token is signed here and exists in the email only. Raises `DeliveryRejected` when the target
    has failed, and `DeliveryDeferred` when it waits for its next attempt.
    """
    target = _running_target(task_id, user_pk, lease)
    if target is None:
        exists = get_user_model()._default_manager.filter(pk=user_pk).exists()
        return {"outcome": "skipped", "reason": "pending" if exists else "gone"}
    user, exclusion_reason = _check_eligibility(user_pk, target)
    reset = None if exclusion_reason else _start_generation(user, target)
    if reset is None:
        return deliveries.settle(target, TargetState.SKIPPED, exclusion_reason or "replaced")
    context = {"link": _link(user, reset.generation), "minutes": settings.RESET_TIMEOUT // 60}
    message = emails.build_email("password_reset", user=user, target=target, context=context)
    deliveries.deliver(message, target)
    return deliveries.mark_sent(target, user)


def deliver_password_changed(*, user_pk: Any, task_id: str) -> dict[str, str]:
    """Notify a user by email that their password was changed; return the outcome."""
    target = Target.objects.for_current_attempt(task_id).select_related("operation").get()
    user = get_user_model()._default_manager.filter(pk=user_pk).first()
    if user is None or not is_deliverable(address_of(user)):
        return deliveries.settle(target, TargetState.SKIPPED, "bad_address" if user else "gone")
    message = emails.build_email("password_changed", user=user, target=target, context={})
    deliveries.deliver(message, target)
    return deliveries.mark_sent(target)


def _running_target(task_id: str, user_pk: Any, lease: float) -> Target | None:
    """The claimed target; a task that another program published is adopted."""
    claimed = Target.objects.for_current_attempt(task_id).select_related("operation")
    if target := claimed.filter(state=TargetState.RUNNING).first():
        return target
    if Target.objects.for_task_id(task_id).exists():  # the console's, and its claim was lost
        return None
    users = get_user_model()._default_manager.filter(pk=user_pk)
    rows = target_rows(users)
    return operations.adopt(verb=REQUEST_RESET_EMAIL, rows=rows, task_id=task_id, lease=lease)


def _check_eligibility(user_pk: Any, target: Target) -> tuple[Any, str]:
    """Return the current user, and the reason why no email may be sent, or ''."""
    operation = target.operation
    by_staff = operation.verb in {SEND_RESET_EMAIL, *RETRIES}
    if by_staff and not operations.still_allowed(operation):
        return None, "actor"
    users = get_user_model()._default_manager.filter(pk=user_pk)
    user = with_exclusion_reason(users, actor=operation.actor if by_staff else None).first()
    if user is None:
        return None, "gone"
    if not user.exclusion_reason and not is_deliverable(address_of(user)):
        return user, "bad_address"
    recent = Reset.objects.recent().filter(pk=user.pk).exclude(target_id=target.pk)
    if by_staff and not user.exclusion_reason and recent.exists():
        return user, "recent"
    return user, user.exclusion_reason


def _start_generation(user: "User", target: Target) -> Reset | None:
    """Invalidate all earlier links of the user; None when a newer target has replaced this one.

    All attempts of one target share a generation: if its email is sent twice, both links work
    until one is used.
    """
    Reset.objects.bulk_create([Reset(user=user)], ignore_conflicts=True)
    own = Reset.objects.filter(pk=user.pk, target_id=target.pk)
    if not own.exists():
        if target.tries > 1 and Reset.objects.filter(pk=user.pk, target_id__gt=target.pk).exists():
            return None
        Reset.objects.filter(pk=user.pk).update(generation=F("generation") + 1, target_id=target.pk)
    return own.first()


def _link(user: "User", generation: int) -> str:
    query = urlencode({"token": tokens.sign(user, generation)})
    return f"{django_settings.HOST_URL}{reverse('tasks_admin:set_password')}?{query}"
