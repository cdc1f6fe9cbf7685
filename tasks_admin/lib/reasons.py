"""Reasons: why a row was excluded, or why a target ended as it did. A label for each code."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

REASONS: dict[str, str | Promise] = {
    # Users
    "gone": _("account no longer exists"),
    "inactive": _("account inactive"),
    "no_address": _("no email address"),
    "bad_address": _("invalid email address"),
    "no_password": _("no local password (uses SSO)"),
    "outranks": _("holds permissions that the sender lacks"),
    "recent": _("reset email sent recently"),
    "pending": _("reset email already queued"),
    "replaced": _("replaced by a newer request"),
    # Task results
    "started": _("already started or finished"),
    "ended": _("already finished"),
    "not_failed": _("did not fail"),
    "retried": _("already retried"),
    "retrying": _("retried by Celery"),
    "lossy": _("arguments not stored exactly"),
    "unregistered": _("task not registered"),
    "unprotected": _("task not protected against running twice (base class TargetTask missing)"),
    "expired": _("result deleted before it could be retried"),
    "others": _("other tasks and exceptions"),
    "not_running": _("not running"),
    # Outcomes
    "aborted": _("operation aborted"),
    "actor": _("the user who started the operation lost the permission"),
    "refused": _("delivery refused"),
    "delayed": _("delivery deferred"),
    "gave_up": _("attempts used up"),
    "crashed": _("the worker process died on every attempt"),
    "worker_died": _("the worker process died without reporting a result"),
    "raised": _("the task raised an exception"),
    "revoked": _("revoked"),
    "pool_cannot_terminate": _("the worker's pool cannot terminate a single task"),
    "signalled": _("SIGTERM sent; waiting for the process to end"),
    "still_running": _("SIGTERM sent; the process is still running"),
    "no_reply_maybe_running": _("no reply from the worker; the task may still be terminated"),
    "no_reply": _("no reply; may still be applied when the worker recovers"),
    "no_reply_maybe_started": _("revoked, but a worker did not reply and may have started it"),
    "not_delivered": _("not run: the worker restarted, or never received the command"),
    "worker_gone": _("the worker no longer sends heartbeats"),
    "stopping": _("shutting down; stops when its running tasks finish"),
    "command_refused": _("refused by the worker"),
    "quarantined": _("message purged from the queue; it can be restored"),
    "purged": _("message purged from the queue"),
    "canary": _("the canary failed"),
    "database": _("the database did not respond"),
    "broker": _("the broker did not respond"),
}


def label(code: str) -> str:
    """The label of a code; the code itself if another version of the console wrote it."""
    return str(REASONS.get(code, code))
