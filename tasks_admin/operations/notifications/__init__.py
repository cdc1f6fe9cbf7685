"""Notifications: when an operation has finished, report it over every channel.

A notification is an operation of its own with one target, so that it survives a crash and is
retried like any other. To add a channel, copy `email.py` and add its row to `CHANNELS`.
"""

from django.db.models import CharField, Value
from django.db.models.functions import Cast, Concat

from tasks_admin.lib.verbs import SEND_NOTIFICATION
from tasks_admin.models import Operation, Target
from tasks_admin.models.targets import TargetState
from tasks_admin.operations import deliveries
from tasks_admin.operations.confirmation import Confirmation
from tasks_admin.operations.notifications.channel import Channel
from tasks_admin.operations.notifications.email import EMAIL
from tasks_admin.operations.start import Selection, selected, start

CHANNELS: dict[str, Channel] = {channel.name: channel for channel in (EMAIL,)}


def queue_notifications(operation: Operation) -> None:
    """Queue a notification on each channel that wants one; call it when the operation finishes."""
    verb = operation.verb_definition
    if verb is None or not verb.summarized:
        return
    for channel in CHANNELS.values():
        if channel.wants(operation):
            start(
                verb=SEND_NOTIFICATION,
                selection=_selection(channel, operation),
                confirmation=Confirmation(actor=operation.actor),
                parent=operation,
            )


def send(*, subject: str, task_id: str) -> dict[str, str]:
    """Send one notification, `CHANNEL:OPERATION`, for a claimed task."""
    target = Target.objects.for_current_attempt(task_id).select_related("operation").get()
    name, _colon, key = str(subject).partition(":")
    channel = CHANNELS.get(name)
    rows = Operation.objects.filter(pk=int(key) if key.isdecimal() else 0)
    finished = rows.select_related("actor").first()
    if channel is None or finished is None:
        return deliveries.settle(target, TargetState.SKIPPED, "gone")
    return channel.send(finished, target)


def _selection(channel: Channel, operation: Operation) -> Selection:
    row = Operation.objects.filter(pk=operation.pk)
    subject = Concat(Value(f"{channel.name}:"), Cast("pk", CharField()))
    return Selection(rows=selected(row, subject=subject), excluded={})
