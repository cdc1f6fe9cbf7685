"""Pace: how many targets of an operation may be published now, by window, rate and canary."""

import math
from datetime import datetime, timedelta

from django.db.models import F, Q
from django.db.models.functions import Now

from tasks_admin.lib.conf import settings
from tasks_admin.models.operations import Operation, OperationState
from tasks_admin.models.targets import TargetState

#: Seconds of a rate that a dispatcher may catch up on after an interruption.
MAX_BURST = 2.0
#: Targets in flight that are always allowed, however slow the workers are.
MIN_WINDOW = 100
IN_FLIGHT = Q(state__in=[TargetState.QUEUED, TargetState.RUNNING])


def room(operation: Operation) -> int:
    """The number of targets that may be published now. Calling it uses up a rate's allowance."""
    in_flight = operation.targets.filter(IN_FLIGHT).count()
    free = _window(operation) - in_flight
    if operation.canary:
        free = min(free, _canary(operation) - in_flight)
    return min(free, _allowance(operation, free)) if free > 0 else 0


def _window(operation: Operation) -> int:
    """The most targets in flight: as many as the workers finish in twenty seconds."""
    ended = operation.targets.ended_within(10).count()
    return max(min(MIN_WINDOW, settings.WINDOW), min(2 * ended, settings.WINDOW))


def _canary(operation: Operation) -> int:
    """One target until one is done; if it failed, pause the operation and allow none."""
    if operation.targets.filter(state=TargetState.DONE).exists():
        Operation.objects.filter(pk=operation.pk).update(canary=False)
        operation.canary = False
        return settings.WINDOW
    failed = [TargetState.FAILED, TargetState.UNKNOWN]
    if operation.targets.filter(state__in=failed).exists():
        auto_pause(operation, "canary")
        return 0
    return 1


def auto_pause(operation: Operation, pause_reason: str) -> None:
    """Pause a running operation automatically; staff can resume it."""
    running = Operation.objects.filter(pk=operation.pk, state=OperationState.RUNNING)
    running.update(state=OperationState.PAUSED, pause_reason=pause_reason)


def _allowance(operation: Operation, wanted: int) -> int:
    """The targets that the rate allows since its last use, for one of concurrent dispatchers."""
    if not operation.rate:
        return wanted
    row = Operation.objects.filter(pk=operation.pk)
    now: datetime = row.annotate(clock=Now()).values_list("clock", flat=True).get()
    each = timedelta(seconds=60 / operation.rate)
    burst = max(each, timedelta(seconds=MAX_BURST))
    # Workers that reconnect run all queued tasks at once: allow no more than a burst.
    unclaimed = operation.targets.filter(state=TargetState.QUEUED)
    unclaimed = unclaimed.exclude(started_at__gte=F("queued_at"))
    wanted = min(wanted, math.floor(burst / each) - unclaimed.count())
    oldest = now - burst
    since = max(operation.paced_at or now - each, oldest)
    allowed = min(wanted, math.floor((now - since) / each))
    if allowed <= 0:
        return 0
    won = row.filter(paced_at=operation.paced_at).update(paced_at=since + allowed * each)
    operation.paced_at = since + allowed * each
    return allowed if won else 0
