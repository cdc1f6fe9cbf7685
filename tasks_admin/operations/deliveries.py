"""Deliveries: send what a target is for, such as an email, and store the outcome."""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models.functions import Now

from tasks_admin.integrations import database
from tasks_admin.integrations.mail import transports
from tasks_admin.lib import failpoints
from tasks_admin.lib.conf import settings
from tasks_admin.lib.errors import DeliveryDeferred, DeliveryRejected, OutcomeNotStored
from tasks_admin.models import Reset, Target
from tasks_admin.models.targets import TargetState

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def deliver(message: Any, target: Target) -> None:
    """Send an email over the configured transport; see `attempt`."""
    attempt(target, lambda: transports.configured().send(message))


def attempt(target: Target, send: Callable[[], object]) -> None:
    """Call `send`; if it fails, store the reason and when to retry, then raise.

    `send` raises `DeliveryRejected` or `DeliveryDeferred`, and so does this function:
    `DeliveryRejected` when the target has failed, `DeliveryDeferred` when it waits for a retry.
    """
    fence = Target.objects.filter(pk=target.pk, attempt=target.attempt)
    try:
        failpoints.reach("before_delivery")
        send()
        failpoints.reach("after_delivery")
    except DeliveryRejected as error:
        refused = {"reason": "refused", "detail": str(error)}
        database.retry_until_available(lambda: fence.settle(TargetState.FAILED, **refused))
        raise
    except DeliveryDeferred as error:
        if target.tries >= settings.MAX_TRIES:
            gave_up = {"reason": "gave_up", "detail": str(error)}
            database.retry_until_available(lambda: fence.settle(TargetState.FAILED, **gave_up))
            raise DeliveryRejected(str(error)) from None
        ceiling = min(settings.BACKOFF_CAP, settings.BACKOFF_BASE * 2**target.tries)
        delayed: dict[str, Any] = {"reason": "delayed", "detail": str(error)}
        if error.uncertain:
            delayed["uncertain"] = True
        database.retry_until_available(lambda: fence.requeue(random.uniform(0, ceiling), **delayed))
        raise


def mark_sent(target: Target, user: "User | None" = None) -> dict[str, str]:
    """Store that it was sent; return the result of the task.

    Raises `OutcomeNotStored` when the database stays unavailable: the lease then expires, and the
    email may be sent again.
    """

    def write() -> dict[str, str]:
        with transaction.atomic():
            Reset.objects.filter(user=user).update(sent_at=Now())
            return settle(target, TargetState.DONE)

    try:
        return database.retry_until_available(write)
    except database.UNAVAILABLE_ERRORS:
        raise OutcomeNotStored(f"The outcome of {target.task_id} was not stored.") from None


def settle(target: Target, state: TargetState, reason: str = "") -> dict[str, str]:
    """Store the outcome of a target's current attempt; return the result of the task."""
    fence = Target.objects.filter(pk=target.pk, attempt=target.attempt)
    fence.settle(state, reason=reason)
    return {"outcome": state.value} | ({"reason": reason} if reason else {})
