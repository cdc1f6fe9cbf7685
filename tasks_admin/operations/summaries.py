"""Summaries: who started an operation is told by mail how it ended."""

from typing import Any

from django.conf import settings as django_settings

from tasks_admin.integrations.mail import emails
from tasks_admin.integrations.mail.addresses import address_of, is_deliverable
from tasks_admin.models import Operation, Target
from tasks_admin.models.targets import TargetState
from tasks_admin.operations import deliveries, progress


def send(*, operation_pk: Any, task_id: str) -> dict[str, str]:
    """Mail the summary of one operation, for a task that was claimed."""
    target = Target.objects.for_current_attempt(task_id).select_related("operation").get()
    ended = Operation.objects.filter(pk=operation_pk).select_related("actor").first()
    user = ended.actor if ended else None
    if ended is None or user is None:
        return deliveries.settle(target, TargetState.SKIPPED, "gone")
    if not user.is_active:
        return deliveries.settle(target, TargetState.SKIPPED, "inactive")
    if not is_deliverable(address_of(user)):
        return deliveries.settle(target, TargetState.SKIPPED, "bad_address")
    context = {
        "operation": ended,
        "outcome": lambda: progress.sentence(ended.counts()),  # in the reader's language
        "link": django_settings.HOST_URL + ended.get_absolute_url(),
    }
    message = emails.build_email("summary", user=user, target=target, context=context)
    deliveries.deliver(message, target)
    return deliveries.mark_sent(target)
