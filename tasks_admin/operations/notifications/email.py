"""The email about the outcome of an operation, to the user who started it."""

from collections.abc import Callable
from typing import Any

from django.conf import settings as django_settings
from django.utils.translation import gettext as _

from tasks_admin.integrations.mail import emails
from tasks_admin.integrations.mail.addresses import address_of, is_deliverable
from tasks_admin.lib.conf import settings
from tasks_admin.lib.verbs import SEND_RESET_EMAIL
from tasks_admin.models import Operation, Target
from tasks_admin.models.targets import TargetState
from tasks_admin.operations import deliveries, progress
from tasks_admin.operations.notifications.channel import Channel


def wants(operation: Operation) -> bool:
    """Whether the user who started the operation receives an email."""
    return settings.MAIL_SUMMARY and operation.actor_id is not None


def send(operation: Operation, target: Target) -> dict[str, str]:
    """Send the summary of a finished operation to the user who started it."""
    user = operation.actor
    if user is None:
        return deliveries.settle(target, TargetState.SKIPPED, "gone")
    if not user.is_active:
        return deliveries.settle(target, TargetState.SKIPPED, "inactive")
    if not is_deliverable(address_of(user)):
        return deliveries.settle(target, TargetState.SKIPPED, "bad_address")
    context = _context(operation)
    message = emails.build_email("operation_finished", user=user, target=target, context=context)
    deliveries.deliver(message, target)
    return deliveries.mark_sent(target)


def _context(operation: Operation) -> dict[str, Any]:
    """The context of the templates. Texts are callables: evaluated in the recipient's language."""
    counts = operation.counts()
    texts: dict[str, Callable[[], str]] = {
        "title": lambda: str(operation.title),
        "outcome": lambda: progress.sentence(counts),
    }
    if operation.verb == SEND_RESET_EMAIL:
        texts = {
            "title": lambda: _("Password-reset emails"),
            "outcome": lambda: progress.sentence(counts, done=_("sent")),
        }
    link = django_settings.HOST_URL + operation.get_absolute_url()
    return {"operation": operation, "link": link} | texts


EMAIL = Channel(name="email", wants=wants, send=send)
