"""The Celery tasks: thin wrappers around the functions that do the work."""

import contextlib
from collections.abc import Iterator
from typing import Any

from celery import shared_task
from celery.contrib.django.task import DjangoTask
from celery.exceptions import Ignore, Retry

from tasks_admin import accounts, operations
from tasks_admin.dispatcher import housekeeping
from tasks_admin.integrations import control, database
from tasks_admin.lib import failpoints
from tasks_admin.lib.conf import settings
from tasks_admin.lib.errors import DeliveryDeferred, OutcomeNotStored
from tasks_admin.models.targets import TASK_ID
from tasks_admin.operations import notifications
from tasks_admin.results import revocations

#: Options of tasks that send an email. The limits, in seconds, bound the time that a mail server
#: can block a worker; the email is then attempted again later. The lease is longer than both.
EMAIL_OPTIONS: dict[str, Any] = {
    "acks_late": True,
    "soft_time_limit": 15,
    "time_limit": 20,
    "bind": True,
}


class TargetTask(DjangoTask):  # type: ignore[type-arg]
    """The base class of all tasks: a task of an operation runs only if it can claim its target."""

    abstract = True
    #: Marks a task as protected against running twice: a second delivery has no effect.
    claims = True

    @property
    def lease(self) -> float:
        """The lease of a claim, in seconds: longer than the task can run."""
        limit = self.time_limit or self.app.conf.task_time_limit
        return limit + settings.LEASE_MARGIN if limit else settings.LEASE_UNLIMITED

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Claim the target. Raises `Ignore` if the task must not run."""
        if TASK_ID.fullmatch(task_id):
            self._claim(task_id)
        elif self._revoked(task_id):
            raise Ignore("not run: the task was revoked")

    def _revoked(self, task_id: str) -> bool:
        """Whether staff revoked the task; without a database, whether Celery has its revocation."""
        try:
            return database.retry_until_available(
                lambda: revocations.is_revoked(task_id), timeout=1.0
            )
        except database.UNAVAILABLE_ERRORS:
            return control.is_revoked(task_id)

    def _claim(self, task_id: str) -> None:
        try:
            if not database.retry_until_available(lambda: operations.claim(task_id, self.lease)):
                raise Ignore("not run: another attempt holds the target, or it has finished")
            failpoints.reach("after_claim")
        except LookupError:  # another program chose an ID of the same form
            return
        except database.UNAVAILABLE_ERRORS:  # the dispatcher recovers targets, so nothing is lost
            text = "not run: the database is unavailable; published again when the lease ends"
            raise Ignore(text) from None


@contextlib.contextmanager
def outcomes(task: TargetTask) -> Iterator[None]:
    """Raise Celery's exceptions for emails that are attempted again later."""
    try:
        yield
    except DeliveryDeferred as error:
        raise Retry(str(error), exc=error) from None
    except OutcomeNotStored as error:
        raise Ignore(str(error)) from None
    except database.UNAVAILABLE_ERRORS as error:
        operations.postpone(task.request.id or "")
        raise Retry("the database is unavailable", exc=error) from None


@shared_task(name="tasks_admin.send_reset_email", **EMAIL_OPTIONS)
def send_reset_email(self: TargetTask, user_pk: Any) -> dict[str, str]:
    """Send a user an email with a link to set a new password."""
    with outcomes(self):
        return accounts.deliver_reset_email(
            user_pk=user_pk, task_id=self.request.id or "", lease=self.lease
        )


@shared_task(name="tasks_admin.notify_password_changed", **EMAIL_OPTIONS)
def notify_password_changed(self: TargetTask, user_pk: Any) -> dict[str, str]:
    """Notify a user by email that their password was changed."""
    with outcomes(self):
        return accounts.deliver_password_changed(user_pk=user_pk, task_id=self.request.id or "")


@shared_task(name="tasks_admin.send_notification", **EMAIL_OPTIONS)
def send_notification(self: TargetTask, subject: str) -> dict[str, str]:
    """Send the notification `CHANNEL:OPERATION` that an operation has finished."""
    with outcomes(self):
        return notifications.send(subject=subject, task_id=self.request.id or "")


@shared_task(name="tasks_admin.housekeeping", ignore_result=True)
def housekeep() -> dict[str, int]:
    """Delete expired data."""
    return housekeeping.clean()
