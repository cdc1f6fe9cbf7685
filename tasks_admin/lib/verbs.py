"""What staff can do: one row a verb. Permission, label and manners are declared here only."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

SEND_RESET_EMAIL = "send_reset_email"
REQUEST_RESET_EMAIL = "request_reset_email"
NOTIFY_PASSWORD_CHANGED = "notify_password_changed"  # noqa: S105 (a verb)
RETRY_FAILED = "retry_failed"
SEND_SUMMARY = "send_summary"
EDIT_AND_RETRY = "edit_and_retry"
REVOKE = "revoke"
TERMINATE = "terminate"
REVEAL_ARGUMENTS = "reveal_arguments"
RESOLVE = "resolve"
MUTE = "mute"
REOPEN = "reopen"
PAUSE_QUEUE = "pause_queue"
RESUME_QUEUE = "resume_queue"
PURGE_QUEUE = "purge_queue"
RESTORE_QUEUE = "restore_queue"
PEEK_QUEUE = "peek_queue"
RUN_PERIODIC = "run_periodic"
ENABLE_PERIODIC = "enable_periodic"
DISABLE_PERIODIC = "disable_periodic"
#: What is not left half done: it can't be paused or aborted.
UNINTERRUPTIBLE = (PURGE_QUEUE, RESTORE_QUEUE)
#: What every worker obeys, also one that is started later.
PAUSES = (PAUSE_QUEUE, RESUME_QUEUE)
#: What workers can be told to do to themselves.
WORKER_COMMANDS = (
    "pool_grow", "pool_shrink", "autoscale", "pool_restart", "add_consumer", "cancel_consumer",
    "rate_limit", "time_limit", "enable_events", "disable_events", "shut_down",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Verb:
    """One thing that can be done, and what it takes to be allowed to."""

    name: str
    #: What a button says.
    label: "str | _StrPromise"
    #: What an operation of this verb is called in lists.
    title: "str | _StrPromise"
    #: The codename in `tasks_admin` that staff need; empty for what is not done by staff.
    permission: str = ""
    #: The task that does it for one target; empty where the target itself names one.
    task: str = ""
    #: What its targets are: "user", "result", or "" for what has no page.
    target_type: str = ""

    @property
    def full_permission(self) -> str:
        """The permission as `User.has_perm` wants it."""
        return f"tasks_admin.{self.permission}"


def _order(name: str, label: "_StrPromise", title: "_StrPromise") -> Verb:
    return Verb(name=name, label=label, title=title, permission=name, target_type="worker")


VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (
        Verb(
            name=SEND_RESET_EMAIL,
            label=_("Send reset email"),
            title=_("Send reset emails"),
            permission="send_reset_email",
            task="tasks_admin.send_reset_email",
            target_type="user",
        ),
        Verb(
            name=REQUEST_RESET_EMAIL,
            label=_("Request a reset email"),
            title=_("Reset email on request"),
            task="tasks_admin.send_reset_email",
            target_type="user",
        ),
        Verb(
            name=NOTIFY_PASSWORD_CHANGED,
            label=_("Tell the user"),
            title=_("Password chosen by the user"),
            task="tasks_admin.notify_password_changed",
            target_type="user",
        ),
        Verb(
            name=RETRY_FAILED,
            label=_("Retry failed tasks"),
            title=_("Retry failed tasks"),
            permission="retry_failed",
            target_type="result",
        ),
        Verb(
            name=EDIT_AND_RETRY,
            label=_("Edit and retry"),
            title=_("Retry with other arguments"),
            permission="edit_and_retry",
            target_type="result",
        ),
        Verb(
            name=REVOKE,
            label=_("Revoke"),
            title=_("Revoke tasks"),
            permission="revoke",
            target_type="result",
        ),
        Verb(
            name=TERMINATE,
            label=_("Terminate"),
            title=_("Terminate tasks"),
            permission="terminate",
            target_type="result",
        ),
        Verb(
            name=REVEAL_ARGUMENTS,
            label=_("Reveal what is masked"),
            title=_("Masked values revealed"),
            permission="reveal_arguments",
            target_type="result",
        ),
        Verb(
            name=RESOLVE,
            label=_("Resolve"),
            title=_("Cause resolved"),
            permission="resolve_failure_group",
            target_type="failure_group",
        ),
        Verb(
            name=MUTE,
            label=_("Mute"),
            title=_("Cause muted"),
            permission="mute_failure_group",
            target_type="failure_group",
        ),
        Verb(
            name=REOPEN,
            label=_("Reopen"),
            title=_("Cause reopened"),
            permission="reopen_failure_group",
            target_type="failure_group",
        ),
        _order("pool_grow", _("Grow the pool"), _("Pool grown")),
        _order("pool_shrink", _("Shrink the pool"), _("Pool shrunk")),
        _order("autoscale", _("Set the range of autoscale"), _("Autoscale set")),
        _order("pool_restart", _("Restart the pool"), _("Pool restarted")),
        _order("add_consumer", _("Consume a queue"), _("Queue consumed")),
        _order("cancel_consumer", _("Stop consuming a queue"), _("Queue no longer consumed")),
        _order("rate_limit", _("Limit the rate of a task"), _("Rate of a task limited")),
        _order("time_limit", _("Limit the time of a task"), _("Time of a task limited")),
        _order("enable_events", _("Enable events"), _("Events enabled")),
        _order("disable_events", _("Disable events"), _("Events disabled")),
        _order("shut_down", _("Shut down"), _("Workers shut down")),
        Verb(
            name=PAUSE_QUEUE,
            label=_("Pause the queue"),
            title=_("Queue paused"),
            permission="pause_queue",
            target_type="worker",
        ),
        Verb(
            name=RESUME_QUEUE,
            label=_("Resume the queue"),
            title=_("Queue resumed"),
            permission="resume_queue",
            target_type="worker",
        ),
        Verb(
            name=PURGE_QUEUE,
            label=_("Purge"),
            title=_("Queue purged"),
            permission="purge_queue",
            target_type="queue",
        ),
        Verb(
            name=RESTORE_QUEUE,
            label=_("Restore"),
            title=_("Purged messages restored"),
            permission="restore_queue",
            target_type="queue",
        ),
        Verb(
            name=PEEK_QUEUE,
            label=_("Look at the next messages"),
            title=_("Next messages of a queue looked at"),
            permission="peek_queue",
            target_type="queue",
        ),
        Verb(
            name=RUN_PERIODIC,
            label=_("Run now"),
            title=_("Periodic task run by hand"),
            permission=RUN_PERIODIC,
            target_type="periodic",
        ),
        Verb(
            name=ENABLE_PERIODIC,
            label=_("Enable"),
            title=_("Periodic task enabled"),
            permission=ENABLE_PERIODIC,
            target_type="periodic",
        ),
        Verb(
            name=DISABLE_PERIODIC,
            label=_("Disable"),
            title=_("Periodic task disabled"),
            permission=DISABLE_PERIODIC,
            target_type="periodic",
        ),
        Verb(name="pause", label=_("Pause"), title=_("Pause"), permission="pause"),
        Verb(name="resume", label=_("Resume"), title=_("Resume"), permission="resume"),
        Verb(name="abort", label=_("Abort"), title=_("Abort"), permission="abort"),
        Verb(name="throttle", label=_("Set the rate"), title=_("Rate"), permission="throttle"),
        Verb(
            name="approve",
            label=_("Approve"),
            title=_("Approval"),
            permission="approve_operation",
        ),
        Verb(
            name=SEND_SUMMARY,
            label=_("Tell who started it"),
            title=_("Summary of an operation"),
            task="tasks_admin.send_summary",
        ),
    )
}

#: The verbs that queue results again.
RETRIES = (RETRY_FAILED, EDIT_AND_RETRY)

#: The permissions that the verbs need, for the model that declares them.
PERMISSIONS: list[tuple[str, "str | _StrPromise"]] = [
    (verb.permission, verb.label) for verb in VERBS.values() if verb.permission
]
