"""Delivering a mail for a target, and writing down what became of it."""

import random
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models.functions import Now

from tasks_admin.integrations import database
from tasks_admin.integrations.mail import transports
from tasks_admin.lib import failpoints
from tasks_admin.lib.conf import settings
from tasks_admin.lib.errors import EmailDeferred, EmailRejected, OutcomeNotStored
from tasks_admin.models import Reset, Target
from tasks_admin.models.targets import TargetState

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def deliver(message: Any, target: Target) -> None:
    """Hand the mail over; write down why not, with the time of the next try, before raising."""
    fence = Target.objects.filter(pk=target.pk, attempt=target.attempt)
    try:
        failpoints.reach("before_smtp")
        transports.configured().send(message)
        failpoints.reach("after_smtp")
    except EmailRejected as error:
        refused = {"reason": "refused", "detail": str(error)}
        database.retry_until_available(lambda: fence.settle(TargetState.FAILED, **refused))
        raise
    except EmailDeferred as error:
        if target.tries >= settings.MAX_TRIES:
            gave_up = {"reason": "gave_up", "detail": str(error)}
            database.retry_until_available(lambda: fence.settle(TargetState.FAILED, **gave_up))
            raise EmailRejected(str(error)) from None
        ceiling = min(settings.BACKOFF_CAP, settings.BACKOFF_BASE * 2**target.tries)
        delayed: dict[str, Any] = {"reason": "delayed", "detail": str(error)}
        if error.uncertain:
            delayed["uncertain"] = True
        database.retry_until_available(lambda: fence.requeue(random.uniform(0, ceiling), **delayed))
        raise


def mark_sent(target: Target, user: "User | None" = None) -> dict[str, str]:
    """Write down that the mail is out. If that can't be done, only the lease's end may act."""

    def write() -> dict[str, str]:
        with transaction.atomic():
            Reset.objects.filter(user=user).update(mailed_at=Now())
            return settle(target, TargetState.DONE)

    try:
        return database.retry_until_available(write)
    except database.UNAVAILABLE_ERRORS:
        raise OutcomeNotStored(f"{target.task_id} was done") from None


def settle(target: Target, state: TargetState, reason: str = "") -> dict[str, str]:
    fence = Target.objects.filter(pk=target.pk, attempt=target.attempt)
    fence.settle(state, reason=reason)
    return {"outcome": state.value} | ({"reason": reason} if reason else {})
