"""The names of the verbs, and the groups that code needs beside their properties."""

SEND_RESET_EMAIL = "send_reset_email"
REQUEST_RESET_EMAIL = "request_reset_email"
NOTIFY_PASSWORD_CHANGED = "notify_password_changed"  # noqa: S105 (a verb)
SEND_NOTIFICATION = "send_notification"
RETRY_FAILED = "retry_failed"
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
PAUSE = "pause"
RESUME = "resume"
ABORT = "abort"
THROTTLE = "throttle"
APPROVE = "approve"

#: The verbs that queue results again.
RETRIES = (RETRY_FAILED, EDIT_AND_RETRY)
#: The verbs that apply to every worker, including workers that start later.
QUEUE_CONSUMPTION = (PAUSE_QUEUE, RESUME_QUEUE)
#: The commands that a worker runs on itself.
WORKER_COMMANDS = (
    "pool_grow", "pool_shrink", "autoscale", "pool_restart", "add_consumer", "cancel_consumer",
    "rate_limit", "time_limit", "enable_events", "disable_events", "shut_down",
)  # fmt: skip
