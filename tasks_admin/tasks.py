"""The Celery tasks: shells around the verbs."""

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
from tasks_admin.lib.errors import EmailDeferred, OutcomeNotStored
from tasks_admin.models.targets import TASK_ID
from tasks_admin.operations import notifications
from tasks_admin.results import revocations

#: Seconds; a mail server that hangs longer is asked again later. The lease is longer than both.
MAIL: dict[str, Any] = {
    "acks_late": True,
    "soft_time_limit": 15,
    "time_limit": 20,
    "bind": True,
}


class TargetTask(DjangoTask):  # type: ignore[type-arg]
    """The base of all tasks: one that was published for a target runs only when it can claim it."""

    abstract = True
    #: Says that a task may be repeated: its second delivery does nothing.
    claims = True

    @property
    def lease(self) -> float:
        """Seconds for which a claim holds: longer than the task can run."""
        limit = self.time_limit or self.app.conf.task_time_limit
        return limit + settings.LEASE_MARGIN if limit else settings.LEASE_UNLIMITED

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Claim the target; end quietly when another attempt has it, or it is over."""
        if TASK_ID.fullmatch(task_id):
            self._claim(task_id)
        elif self._revoked(task_id):
            raise Ignore("not to be run: it was revoked")

    def _revoked(self, task_id: str) -> bool:
        """Whether staff revoked it; while the database is away, whether Celery was told so."""
        try:
            return database.retry_until_available(
                lambda: revocations.revoked(task_id), patience=1.0
            )
        except database.UNAVAILABLE_ERRORS:
            return control.told_to_revoke(task_id)

    def _claim(self, task_id: str) -> None:
        # Only what has a target is published again: for others the database is not asked.
        try:
            if not database.retry_until_available(lambda: operations.claim(task_id, self.lease)):
                raise Ignore("not to be run: another attempt has it, or it is over")
            failpoints.reach("after_claim")
        except LookupError:  # the id looks like a target's, and is none
            return
        except database.UNAVAILABLE_ERRORS:
            raise Ignore("the database is away: queued again when the lease is over") from None


@contextlib.contextmanager
def outcomes(task: TargetTask) -> Iterator[None]:
    """Say in Celery's words what became of a mail that neither went out nor failed."""
    try:
        yield
    except EmailDeferred as error:
        raise Retry(str(error), exc=error) from None
    except OutcomeNotStored as error:
        raise Ignore(str(error)) from None
    except database.UNAVAILABLE_ERRORS as error:
        operations.postpone(task.request.id or "")
        raise Retry("the database was away", exc=error) from None


@shared_task(name="tasks_admin.send_reset_email", **MAIL)
def send_reset_email(self: TargetTask, user_pk: Any) -> dict[str, str]:
    """Mail a user a link for choosing a new password."""
    with outcomes(self):
        return accounts.deliver_reset_email(
            user_pk=user_pk, task_id=self.request.id or "", lease=self.lease
        )


@shared_task(name="tasks_admin.notify_password_changed", **MAIL)
def notify_password_changed(self: TargetTask, user_pk: Any) -> dict[str, str]:
    """Tell a user by mail that their password was changed."""
    with outcomes(self):
        return accounts.deliver_password_changed(user_pk=user_pk, task_id=self.request.id or "")


@shared_task(name="tasks_admin.send_notification", **MAIL)
def send_notification(self: TargetTask, subject: str) -> dict[str, str]:
    """Send the notification `CHANNEL:OPERATION` that an operation has finished."""
    with outcomes(self):
        return notifications.send(subject=subject, task_id=self.request.id or "")


@shared_task(name="tasks_admin.housekeeping", ignore_result=True)
def housekeep() -> dict[str, int]:
    """Delete what nobody needs any more."""
    return housekeeping.clean()
