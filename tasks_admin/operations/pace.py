"""How many targets of an operation may be published now: window, rate, canary."""

import math
from datetime import datetime, timedelta

from django.db.models import F, Q
from django.db.models.functions import Now

from tasks_admin.lib.conf import settings
from tasks_admin.models.operations import Operation, OperationState
from tasks_admin.models.targets import TargetState

#: A rate may be made up for this long after a pause of the dispatcher, no longer.
BURST = 2.0
#: In flight at least, however slow the workers are.
LEAST = 100
IN_FLIGHT = Q(state__in=[TargetState.QUEUED, TargetState.RUNNING])


def room(operation: Operation) -> int:
    """The number of targets that may be published now. A rate's allowance is used up by asking."""
    in_flight = operation.targets.filter(IN_FLIGHT).count()
    free = _window(operation) - in_flight
    if operation.canary:
        free = min(free, _canary(operation) - in_flight)
    return min(free, _allowance(operation, free)) if free > 0 else 0


def _window(operation: Operation) -> int:
    """In flight at most: what workers do in twenty seconds, so that nothing waits in vain."""
    ended = operation.targets.ended_within(10).count()
    return max(min(LEAST, settings.WINDOW), min(2 * ended, settings.WINDOW))


def _canary(operation: Operation) -> int:
    """One until one is done; none, and the operation is paused, when it failed."""
    if operation.targets.filter(state=TargetState.DONE).exists():
        Operation.objects.filter(pk=operation.pk).update(canary=False)
        operation.canary = False
        return settings.WINDOW
    dead = [TargetState.FAILED, TargetState.UNKNOWN]
    if operation.targets.filter(state__in=dead).exists():
        auto_pause(operation, "canary")
        return 0
    return 1


def auto_pause(operation: Operation, pause_reason: str) -> None:
    """Pause an operation for a reason of the console's own; staff may resume it."""
    running = Operation.objects.filter(pk=operation.pk, state=OperationState.RUNNING)
    running.update(state=OperationState.PAUSED, pause_reason=pause_reason)


def _allowance(operation: Operation, wanted: int) -> int:
    """What the rate allows since it was used last; of two dispatchers that ask, one gets it."""
    if not operation.rate:
        return wanted
    row = Operation.objects.filter(pk=operation.pk)
    now: datetime = row.annotate(clock=Now()).values_list("clock", flat=True).get()
    each = timedelta(seconds=60 / operation.rate)
    burst = max(each, timedelta(seconds=BURST))
    # What no worker took yet would go out at once when they come back: no more than a burst.
    untaken = operation.targets.filter(state=TargetState.QUEUED)
    untaken = untaken.exclude(started_at__gte=F("queued_at"))
    wanted = min(wanted, math.floor(burst / each) - untaken.count())
    oldest = now - burst
    since = max(operation.paced_at or now - each, oldest)
    allowed = min(wanted, math.floor((now - since) / each))
    if allowed <= 0:
        return 0
    mine = row.filter(paced_at=operation.paced_at).update(paced_at=since + allowed * each)
    operation.paced_at = since + allowed * each
    return allowed if mine else 0
