"""Terminations: the worker sends a signal to the process of a running task; it is then watched.

Celery calls a task revoked once the signal is sent, whatever the process does. Here a target is
done when its process has ended. Tasks that do not run are skipped. A worker that does not reply may
still send the signal later: then the outcome is unknown.
"""

from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from tasks_admin.integrations import control
from tasks_admin.integrations.control import TerminationReplies
from tasks_admin.lib.errors import BrokerUnreachable
from tasks_admin.models import Operation, Result, Target
from tasks_admin.models.result_states import UNREADY, ResultState
from tasks_admin.models.targets import TargetQuerySet, TargetState, after
from tasks_admin.results import revocations

#: Tasks that one request terminates.
BATCH_SIZE = 100
#: Seconds until the workers are asked again after they could not be reached.
RETRY_DELAY = 2.0
#: Seconds between two checks of the processes.
CHECK_INTERVAL = 0.5
#: Seconds for which only one dispatcher handles a target: it sends the request within that time.
LEASE = 60.0
#: The time that a process has to clean up after the signal.
EXIT_TIMEOUT = timedelta(seconds=10)
MAX_DETAIL_LENGTH = 500


def execute(operation: Operation) -> int:
    """Terminate the next targets of an operation; return how many have ended.

    Raises `BrokerUnreachable` if the workers could not be asked; they are asked again later.
    """
    keys, repeated = _lease(operation)
    rows = Target.objects.filter(pk__in=keys)
    signalled = rows.exclude(detail="")
    try:
        count = _check_processes(signalled) if signalled.exists() else 0
        if pending := dict(rows.filter(detail="").open().values_list("subject", "pk")):
            replies = control.terminate(list(pending))
            _record_signals(pending, replies)
            count += _settle(rows.filter(detail=""), replies, repeated)
    except BrokerUnreachable:
        rows.open().update(due_at=after(RETRY_DELAY))
        raise
    return count


def _lease(operation: Operation) -> tuple[list[int], set[str]]:
    """Take the next due targets from other dispatchers; also return those requested before."""
    with transaction.atomic():
        due = operation.targets.all().take_due(BATCH_SIZE)
        keys = [target.pk for target in due]
        Target.objects.filter(pk__in=keys).postpone(LEASE, reason="signalled")
    return keys, {target.subject for target in due if target.reason == "signalled"}


def _record_signals(pending: dict[str, int], replies: TerminationReplies) -> None:
    """Store the process to watch for each target, and keep the task from running again."""
    with transaction.atomic():
        for task_id, (worker, pid) in replies.signalled.items():
            Target.objects.filter(pk=pending[task_id]).update(
                detail=f"{worker} {pid}"[:MAX_DETAIL_LENGTH],
                started_at=Now(),
                due_at=after(CHECK_INTERVAL),
            )
        revocations.insert(replies.signalled)


def _check_processes(signalled: TargetQuerySet) -> int:
    """Settle the targets whose process has ended, as reported by its worker; return how many."""
    found = control.pool_processes()
    running = {f"{worker} {pid}" for worker, pid in found}
    replied = {worker for worker, _pid in found}
    ended = [
        pk
        for pk, process in signalled.open().values_list("pk", "detail")
        if process not in running and process.rpartition(" ")[0] in replied
    ]
    rows = signalled.open()
    done = rows.filter(pk__in=ended).settle(TargetState.DONE, detail=F("detail"))
    rows.filter(started_at__lt=Now() - EXIT_TIMEOUT).settle(
        TargetState.UNKNOWN, reason="still_running", detail=F("detail")
    )
    rows.update(due_at=after(CHECK_INTERVAL))
    return done


def _settle(rows: TargetQuerySet, replies: TerminationReplies, repeated: set[str]) -> int:
    """Write the outcomes of the targets that got no signal; return how many have ended."""
    rows.filter(subject__in=replies.refused).settle(
        TargetState.FAILED, reason="pool_cannot_terminate"
    )
    rows.filter(subject__in=_unconfirmed(rows, replies)).settle(
        TargetState.UNKNOWN, reason="no_reply_maybe_running"
    )
    remaining = list(rows.open().values_list("subject", flat=True))
    # The dispatcher that sent the first request was killed before it recorded the signals.
    # The worker has stored the status of the tasks that it terminated.
    revoked = Result.objects.filter(
        task_id__in=repeated.intersection(remaining), status=ResultState.REVOKED
    )
    ended = list(revoked.values_list("task_id", flat=True))
    done = rows.filter(subject__in=ended).settle(TargetState.DONE)
    rows.open().settle(TargetState.SKIPPED, reason="not_running")
    return done


def _unconfirmed(rows: TargetQuerySet, replies: TerminationReplies) -> list[str]:
    """The tasks without an outcome that may run on a worker that did not reply."""
    remaining = list(rows.open().values_list("subject", flat=True))
    unready = Result.objects.filter(task_id__in=remaining, status__in=UNREADY)
    if replies.replied:
        unready = unready.exclude(worker__in=replies.replied)
        if not replies.not_responding:  # every worker that may run a task without a name replied
            unready = unready.exclude(worker=None)
    return list(unready.values_list("task_id", flat=True))
