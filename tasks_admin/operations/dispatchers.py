"""Which dispatchers are at work."""

from datetime import timedelta

from django.db.models.functions import Now

from tasks_admin.models import Dispatcher, Operation
from tasks_admin.models.operations import OperationState

#: Seconds between two signs of life, and after how many nobody is believed to be there.
HEARTBEAT_INTERVAL = 5.0
OFFLINE_AFTER = 60.0


def record_heartbeat(name: str) -> None:
    """Say that a dispatcher is at work."""
    if not Dispatcher.objects.filter(pk=name).update(last_seen_at=Now()):
        Dispatcher.objects.bulk_create(
            [Dispatcher(name=name, last_seen_at=Now())], ignore_conflicts=True
        )


def sign_off(name: str) -> None:
    """Say that a dispatcher has stopped."""
    Dispatcher.objects.filter(pk=name).delete()


def none_online() -> bool:
    """Whether something is to be published and no dispatcher has been seen for a minute."""
    lately = Now() - timedelta(seconds=OFFLINE_AFTER)
    if Dispatcher.objects.filter(last_seen_at__gt=lately).exists():
        return False
    return Operation.objects.active().filter(state=OperationState.RUNNING).exists()


def delete_offline() -> int:
    """Delete the rows of dispatchers that were killed a day ago."""
    return Dispatcher.objects.filter(last_seen_at__lt=Now() - timedelta(days=1)).delete()[0]
