"""The table of verbs: one row each, with every property that the verb has."""

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _

from tasks_admin.lib.verbs import names
from tasks_admin.lib.verbs.verb import TargetType, Verb

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

#: The properties of a bulk operation that publishes one task for each target.
BULK: dict[str, Any] = {
    "rate_limited": True,
    "canary": True,
    "interruptible": True,
    "approvable": True,
    "summarized": True,
    "retryable": True,
}
#: The properties of a bulk operation that the dispatcher performs itself.
DISPATCHED: dict[str, Any] = {"interruptible": True, "approvable": True, "summarized": True}


def _row(
    name: str,
    label: "_StrPromise",
    title: "_StrPromise",
    target_type: TargetType = TargetType.NONE,
    *,
    permission: str | None = None,
    **properties: Any,
) -> Verb:
    """Return a row; its permission has the verb's name unless it is given."""
    return Verb(
        name=name,
        label=label,
        title=title,
        target_type=target_type,
        permission=name if permission is None else permission,
        **properties,
    )


ROWS = (
    # Users
    _row(
        names.SEND_RESET_EMAIL,
        _("Send reset email"),
        _("Send reset emails"),
        TargetType.USER,
        task="tasks_admin.send_reset_email",
        **BULK,
    ),
    _row(
        names.REQUEST_RESET_EMAIL,
        _("Request a reset email"),
        _("Reset email requested by the user"),
        TargetType.USER,
        permission="",
        task="tasks_admin.send_reset_email",
        interruptible=True,
        retryable=True,
    ),
    _row(
        names.NOTIFY_PASSWORD_CHANGED,
        _("Notify the user"),
        _("Password set by the user"),
        TargetType.USER,
        permission="",
        task="tasks_admin.notify_password_changed",
        interruptible=True,
        retryable=True,
    ),
    # Task results
    _row(
        names.RETRY_FAILED,
        _("Retry failed tasks"),
        _("Retry failed tasks"),
        TargetType.RESULT,
        **BULK,
    ),
    _row(
        names.EDIT_AND_RETRY,
        _("Edit and retry"),
        _("Edit and retry failed tasks"),
        TargetType.RESULT,
        **BULK,
    ),
    _row(
        names.REVOKE,
        _("Revoke"),
        _("Revoke tasks"),
        TargetType.RESULT,
        handler="tasks_admin.results.revocations:execute",
        **DISPATCHED,
    ),
    _row(
        names.TERMINATE,
        _("Terminate"),
        _("Terminate tasks"),
        TargetType.RESULT,
        handler="tasks_admin.results.terminations:execute",
        **DISPATCHED,
    ),
    _row(
        names.REVEAL_ARGUMENTS,
        _("Reveal masked values"),
        _("Reveal masked values"),
        TargetType.RESULT,
        consequence=_("Shows the values unmasked, once. This view is recorded."),
    ),
    # Failure groups
    _row(
        names.RESOLVE,
        _("Resolve"),
        _("Resolve failure group"),
        TargetType.FAILURE_GROUP,
        permission="resolve_failure_group",
        consequence=_("Marks the group as resolved. The next failure reopens it as regressed."),
    ),
    _row(
        names.MUTE,
        _("Mute"),
        _("Mute failure group"),
        TargetType.FAILURE_GROUP,
        permission="mute_failure_group",
        consequence=_("Hides the group from the list. Its failures are still counted."),
    ),
    _row(
        names.REOPEN,
        _("Reopen"),
        _("Reopen failure group"),
        TargetType.FAILURE_GROUP,
        permission="reopen_failure_group",
        consequence=_("Lists the group among the open ones again."),
    ),
    # Workers
    _row("pool_grow", _("Grow the pool"), _("Grow pool"), TargetType.WORKER),
    _row("pool_shrink", _("Shrink the pool"), _("Shrink pool"), TargetType.WORKER),
    _row("autoscale", _("Set autoscale limits"), _("Set autoscale limits"), TargetType.WORKER),
    _row(
        "pool_restart",
        _("Restart the pool"),
        _("Restart pool"),
        TargetType.WORKER,
        consequence=_("Tasks that are running in the pool are killed."),
    ),
    _row("add_consumer", _("Add consumer"), _("Add consumer"), TargetType.WORKER),
    _row(
        "cancel_consumer",
        _("Remove consumer"),
        _("Remove consumer"),
        TargetType.WORKER,
        consequence=_(
            "A worker that consumes no queue stays online and runs nothing. The change is lost "
            "when the worker restarts."
        ),
    ),
    _row("rate_limit", _("Set rate limit"), _("Set rate limit"), TargetType.WORKER),
    _row("time_limit", _("Set time limit"), _("Set time limit"), TargetType.WORKER),
    _row("enable_events", _("Enable events"), _("Enable events"), TargetType.WORKER),
    _row("disable_events", _("Disable events"), _("Disable events"), TargetType.WORKER),
    _row(
        "shut_down",
        _("Shut down"),
        _("Shut down worker"),
        TargetType.WORKER,
        consequence=_(
            "Warm shutdown: running tasks finish, reserved tasks return to the queue. The console "
            "cannot start the worker again."
        ),
    ),
    # Queues
    _row(
        names.PAUSE_QUEUE,
        _("Pause the queue"),
        _("Pause queue"),
        TargetType.WORKER,
        consequence=_(
            "No worker will consume this queue until it is resumed, including workers started "
            "later. Tasks already fetched still run; queued messages stay queued."
        ),
    ),
    _row(
        names.RESUME_QUEUE,
        _("Resume the queue"),
        _("Resume queue"),
        TargetType.WORKER,
        consequence=_(
            "Workers that consumed this queue, or are configured to, resume consuming it."
        ),
    ),
    _row(
        names.PURGE_QUEUE,
        _("Purge"),
        _("Purge queue"),
        TargetType.QUEUE,
        handler="tasks_admin.queues.quarantine:purge",
        approvable=True,
        consequence=_(
            "Moves the waiting messages to quarantine, from where they can be restored. Tasks "
            "already fetched still run. Operations whose messages are purged wait for them: abort "
            "the operations that should not continue."
        ),
    ),
    _row(
        names.RESTORE_QUEUE,
        _("Restore"),
        _("Restore purged messages"),
        TargetType.QUEUE,
        handler="tasks_admin.queues.quarantine:restore",
        approvable=True,
        consequence=_("Puts the purged messages back into the queue, unchanged. They will run."),
    ),
    _row(
        names.PEEK_QUEUE,
        _("Peek"),
        _("Peek at messages"),
        TargetType.QUEUE,
        requires_reason=False,
        consequence=_("Shows the next messages, masked. They stay in the queue."),
    ),
    # Periodic tasks
    _row(
        names.RUN_PERIODIC,
        _("Run now"),
        _("Run periodic task"),
        TargetType.PERIODIC_TASK,
        interruptible=True,
        approvable=True,
        retryable=True,
        consequence=_("Queues the task once, now, with its scheduled arguments."),
    ),
    _row(
        names.ENABLE_PERIODIC,
        _("Enable"),
        _("Enable periodic task"),
        TargetType.PERIODIC_TASK,
        consequence=_("Celery beat queues the task again at its scheduled times."),
    ),
    _row(
        names.DISABLE_PERIODIC,
        _("Disable"),
        _("Disable periodic task"),
        TargetType.PERIODIC_TASK,
        consequence=_("Celery beat does not queue the task until it is enabled."),
    ),
    # Operations
    _row(
        names.PAUSE,
        _("Pause"),
        _("Pause"),
        consequence=_("Publishes no further targets. Running tasks finish."),
    ),
    _row(names.RESUME, _("Resume"), _("Resume"), consequence=_("Continues where it was paused.")),
    _row(
        names.ABORT,
        _("Abort remaining"),
        _("Abort"),
        consequence=_("Cancels every target that has not started. This cannot be undone."),
    ),
    _row(
        names.THROTTLE,
        _("Update rate"),
        _("Rate"),
        form="tasks_admin.admin.shared.forms:RateForm",
        consequence=_("Changes how many targets are published each minute."),
    ),
    _row(
        names.APPROVE,
        _("Approve"),
        _("Approval"),
        permission="approve_operation",
        consequence=_("Lets the operation begin."),
    ),
    _row(
        names.SEND_NOTIFICATION,
        _("Send notification"),
        _("Notification of an operation's end"),
        permission="",
        task="tasks_admin.send_notification",
        interruptible=True,
        retryable=True,
    ),
)

VERBS: dict[str, Verb] = {verb.name: verb for verb in ROWS}

#: The permissions that the verbs need, for the model that declares them.
PERMISSIONS: list[tuple[str, "str | _StrPromise"]] = [
    (verb.permission, verb.label) for verb in ROWS if verb.permission
]
