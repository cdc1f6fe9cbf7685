"""Why somebody is left out, or why a target ended as it did: a label for each code."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

REASONS: dict[str, str | Promise] = {
    # users
    "gone": _("the account no longer exists"),
    "inactive": _("the account is not active"),
    "no_address": _("no e-mail address"),
    "bad_address": _("not a usable e-mail address"),
    "no_password": _("no usable password (signs in elsewhere)"),
    "outranks": _("holds permissions that the sender lacks"),
    "recent": _("was sent a reset mail recently"),
    "pending": _("waits for a reset mail already"),
    "replaced": _("replaced by a newer request"),
    # results
    "begun": _("has begun already, or is over"),
    "ended": _("is over"),
    "not_failed": _("did not fail"),
    "retried": _("was retried already"),
    "retrying": _("is or was tried again by itself"),
    "lossy": _("its arguments were not stored exactly"),
    "unregistered": _("its task is no longer registered"),
    "unprotected": _("its task does not claim what it does, and could do it twice"),
    "expired": _("the result was cleaned up before it could be retried"),
    "others": _("other tasks and causes"),
    "not_running": _("does not run at this moment"),
    # what happened
    "aborted": _("the operation was aborted"),
    "actor": _("the sender lost the permission"),
    "refused": _("refused by the mail server"),
    "delayed": _("not taken by the mail server yet"),
    "gave_up": _("tried as often as allowed"),
    "crashed": _("its process died each time"),
    "worker_died": _("its process ended without a word"),
    "raised": _("the task raised an exception"),
    "revoked": _("revoked"),
    "no_kill": _("its worker's pool can't end a single task"),
    "signalled": _("its process was told to end; whether it did is not known yet"),
    "ignores": _("its process was told to end, and still runs"),
    "silent": _("its worker did not answer; the task may still be ended"),
    "no_reply": _("no answer: it may still be done when the worker wakes up"),
    "no_reply_maybe_started": _("revoked; a worker did not answer, and may have begun it before"),
    "not_delivered": _("not done: the worker answers now, and was not told or was started anew"),
    "worker_gone": _("it gives no sign of life any more"),
    "stopping": _("was told to stop; it stops when what it runs has ended"),
    "refused_order": _("the worker refused"),
    "quarantined": _("its message was purged from the queue, and can be restored"),
    "purged": _("its message was purged from the queue"),
    "canary": _("the first one did not succeed"),
    "database": _("the database did not answer"),
    "broker": _("the broker did not answer"),
}


def label(code: str) -> str:
    """The words for a code; the code itself when another version wrote it."""
    return str(REASONS.get(code, code))
