"""The heartbeats of dispatchers."""

from datetime import timedelta

from django.db.models.functions import Now

from tasks_admin.models import Dispatcher, Operation
from tasks_admin.models.operations import OperationState

#: Seconds between two heartbeats, and from the last one until a dispatcher counts as offline.
HEARTBEAT_INTERVAL = 5.0
OFFLINE_AFTER = 60.0


def record_heartbeat(name: str) -> None:
    """Record that a dispatcher is running."""
    if not Dispatcher.objects.filter(pk=name).update(last_seen_at=Now()):
        Dispatcher.objects.bulk_create(
            [Dispatcher(name=name, last_seen_at=Now())], ignore_conflicts=True
        )


def record_stop(name: str) -> None:
    """Record that a dispatcher has stopped."""
    Dispatcher.objects.filter(pk=name).delete()


def none_online() -> bool:
    """Whether an operation is running while no dispatcher is online."""
    cutoff = Now() - timedelta(seconds=OFFLINE_AFTER)
    if Dispatcher.objects.filter(last_seen_at__gt=cutoff).exists():
        return False
    return Operation.objects.active().filter(state=OperationState.RUNNING).exists()


def delete_offline() -> int:
    """Delete the rows of dispatchers whose last heartbeat is a day old."""
    return Dispatcher.objects.filter(last_seen_at__lt=Now() - timedelta(days=1)).delete()[0]
