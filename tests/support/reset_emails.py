"""Acts as dispatcher and worker for one target, so that tests can send a single reset email."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.contrib.auth.models import User
from django.db.models import F

from tasks_admin import accounts, operations
from tasks_admin.accounts import tokens
from tasks_admin.lib.verbs import REQUEST_RESET_EMAIL, SEND_RESET_EMAIL
from tasks_admin.models import Reset, Target
from tasks_admin.models.targets import TargetState
from tasks_admin.operations import Confirmation, Selection
from tests.support.smtp import Mailbox

LEASE = 60


def request_email(user: User, *, actor: User | None = None) -> Target:
    """Create a waiting target, for staff or, without an actor, at the request of the user."""
    operation = operations.start(
        verb=SEND_RESET_EMAIL if actor else REQUEST_RESET_EMAIL,
        selection=Selection(
            rows=accounts.target_rows(User.objects.filter(pk=user.pk)), excluded={}
        ),
        confirmation=Confirmation(actor=actor),
    )
    return operation.targets.get()


def publish_and_claim(target: Target) -> Target:
    """Publish the target as the next attempt, and claim it; return its current row."""
    rows = Target.objects.filter(pk=target.pk)
    rows.update(state=TargetState.QUEUED, attempt=F("attempt") + 1)
    fresh = rows.select_related("operation").get()
    assert operations.claim(fresh.task_id, LEASE)
    return rows.select_related("operation").get()


def run_task(target: Target) -> dict[str, str]:
    """Publish and claim the target, and do the work of its task."""
    target = publish_and_claim(target)
    return accounts.deliver_reset_email(
        user_pk=int(target.subject), task_id=target.task_id, lease=LEASE
    )


def reload(target: Target) -> Target:
    """Return the current row of the target."""
    return Target.objects.select_related("operation").get(pk=target.pk)


def send_email_to(user: User) -> dict[str, str]:
    """Request an email for the user and send it."""
    return run_task(request_email(user))


def token_of(message: Any) -> str:
    """Return the token in the link of an email."""
    text = message.get_body(("plain",)).get_content()
    link = next(word for word in text.split() if "?token=" in word)
    return parse_qs(urlsplit(link).query)["token"][0]


def latest_token(mailbox: Mailbox) -> str:
    """Return the token in the latest email."""
    return token_of(mailbox.messages[-1])


def make_token(user: User) -> str:
    """Sign a valid token, as if an email had been sent."""
    reset, _ = Reset.objects.get_or_create(user=user)
    return tokens.sign(user, reset.generation)
