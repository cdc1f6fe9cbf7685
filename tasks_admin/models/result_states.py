"""The states of a result: Celery's, and one of the console's; and groups of them."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class ResultState(models.TextChoices):
    """The value of `status`, in the order of a task's life. A task may also store its own states.

    Without `task_track_started` Celery stores no STARTED: a running task is PENDING.
    """

    PENDING = "PENDING", _("pending")
    RECEIVED = "RECEIVED", _("received")
    STARTED = "STARTED", _("started")
    RETRY = "RETRY", _("retrying")
    SUCCESS = "SUCCESS", _("success")
    FAILURE = "FAILURE", _("failure")
    REVOKED = "REVOKED", _("revoked")
    #: The console's: published, and no queue and no worker has it any more.
    LOST = "LOST", _("lost")


#: Published, without an outcome, and not waiting for a retry: the task may be lost.
IN_PROGRESS = (ResultState.PENDING, ResultState.RECEIVED, ResultState.STARTED)
#: Celery's word: without an outcome. The task may be running.
UNREADY = (*IN_PROGRESS, ResultState.RETRY)
#: Celery's word: with an outcome.
READY = (ResultState.SUCCESS, ResultState.FAILURE, ResultState.REVOKED)
#: With an outcome, or lost.
ENDED = (*READY, ResultState.LOST)
#: Not running: the task can be revoked. RETRY waits to be started again.
NOT_STARTED = (
    ResultState.PENDING,
    ResultState.RECEIVED,
    ResultState.RETRY,
    ResultState.LOST,
)
#: Staff can queue the task again.
RETRYABLE = (ResultState.FAILURE, ResultState.LOST)
#: The result is an exception.
EXCEPTIONS = (ResultState.RETRY, ResultState.FAILURE, ResultState.REVOKED)
