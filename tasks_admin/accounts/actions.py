"""Queue reset emails: for the users that staff select, or for users who request their own."""

from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.db.models import F, QuerySet

from tasks_admin import operations
from tasks_admin.accounts.eligibility import with_exclusion_reason
from tasks_admin.lib.verbs import REQUEST_RESET_EMAIL, SEND_RESET_EMAIL
from tasks_admin.models import Operation, Target
from tasks_admin.models.lock_keys import LockKind, lock_key, lock_key_expression
from tasks_admin.models.targets import TargetState
from tasks_admin.operations import Confirmation, Selection

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def select(users: QuerySet[Any], *, actor: "User") -> Selection:
    """Return the users who would receive a reset email, and the number excluded by reason."""
    candidates = with_exclusion_reason(users, actor=actor, again=False)
    return Selection(
        rows=target_rows(candidates.filter(exclusion_reason="")),
        excluded=operations.count_exclusions(candidates),
    )


def send_reset_emails(*, users: QuerySet[Any], confirmation: Confirmation) -> Operation:
    """Queue a reset email to each of these users who is eligible."""
    actor = operations.require_actor(confirmation, SEND_RESET_EMAIL)
    return operations.start(
        verb=SEND_RESET_EMAIL,
        selection=select(users, actor=actor),
        confirmation=confirmation,
    )


def request_reset_emails(*, users: QuerySet[Any], actor: "User | None") -> Operation:
    """Queue a reset email to each of these users, at their own request.

    The same statements run whether or not there are any users, so the response time does not
    reveal whether an account exists.
    """
    return operations.start(
        verb=REQUEST_RESET_EMAIL,
        selection=Selection(rows=target_rows(users), excluded={}),
        confirmation=Confirmation(actor=actor),
        may_be_empty=True,
    )


def request_own_reset_email(user: "User") -> str:
    """Queue a reset email to the signed-in user; return the ID of the task that sends it.

    If a reset email to the user is pending, this is the ID of its task.
    """
    users = get_user_model()._default_manager.filter(pk=user.pk)
    operation = request_reset_emails(users=users, actor=user)
    if target := operation.targets.first():
        return target.task_id_of(1)
    locked = Target.objects.open().filter(lock_key=lock_key(LockKind.USER, user.pk))
    pending = locked.select_related("operation").first()
    if pending is None:  # it was sent between the two statements
        return ""
    return pending.task_id_of(pending.attempt + (pending.state == TargetState.WAITING))


def target_rows(users: QuerySet[Any]) -> QuerySet[Any, tuple[str, str]]:
    """The users as targets; while one is open, its lock key prevents another for the same user."""
    key = lock_key_expression(LockKind.USER, F("pk"))
    return operations.selected(users, subject=F("pk"), lock_key=key)
