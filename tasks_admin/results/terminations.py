"""Terminating: what runs is ended by a signal to its process, which is watched until it is gone.

Celery calls a task revoked once the signal is sent, whatever its process does about it. Here it is
done when that process is gone. What runs nowhere is left alone. A worker that does not answer may
still do it when it wakes up: then it is not known.
"""

from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from tasks_admin.integrations import control
from tasks_admin.integrations.control import TerminationReplies
from tasks_admin.lib.errors import BrokerUnreachable
from tasks_admin.models import Operation, Result, Revocation, Target
from tasks_admin.models.result_states import UNREADY, ResultState
from tasks_admin.models.targets import TargetQuerySet, TargetState, after

#: Tasks ended at a time.
CHUNK = 100
#: Seconds until workers that could not be asked are asked again, and processes are looked at again.
AGAIN, LOOK = 2.0, 0.5
#: Seconds for which only one dispatcher deals with a task; it asks and writes down within that.
TURN = 60.0
#: Seconds for which a process may clean up before it is said to ignore the signal.
PATIENCE = timedelta(seconds=10)


def carry_out(operation: Operation) -> int:
    """End the tasks that an operation is about, some at a time; return how many are over.

    Raises `BrokerUnreachable` when the workers could not be asked. They are asked again.
    """
    keys, repeated = _take(operation)
    rows = Target.objects.filter(pk__in=keys)
    signalled = rows.exclude(detail="")
    try:
        count = _look(signalled) if signalled.exists() else 0
        if asked := dict(rows.filter(detail="").open().values_list("subject", "pk")):
            told = control.terminate(list(asked))
            _note(asked, told)
            count += _settle(rows.filter(detail=""), told, repeated)
    except BrokerUnreachable:
        rows.open().update(due_at=after(AGAIN))
        raise
    return count


def _take(operation: Operation) -> tuple[list[int], set[str]]:
    """Take some for a while, so that no other dispatcher does; say which were taken before."""
    with transaction.atomic():
        due = operation.targets.all().take_due(CHUNK)
        keys = [target.pk for target in due]
        Target.objects.filter(pk__in=keys).postpone(TURN, reason="signalled")
    return keys, {target.subject for target in due if target.reason == "signalled"}


def _note(asked: dict[str, int], told: TerminationReplies) -> None:
    """Keep which process to watch for each, and keep the task from being run again."""
    with transaction.atomic():
        for task_id, (worker, pid) in told.signalled.items():
            Target.objects.filter(pk=asked[task_id]).update(
                detail=f"{worker} {pid}"[:500], started_at=Now(), due_at=after(LOOK)
            )
        Revocation.objects.bulk_create(
            (Revocation(task_id=task_id, revoked_at=Now()) for task_id in told.signalled),
            ignore_conflicts=True,
        )


def _look(signalled: TargetQuerySet) -> int:
    """See whose process is gone. Who does not answer has not said that it is."""
    there = control.pool_processes()
    alive = {f"{worker} {pid}" for worker, pid in there}
    heard = {worker for worker, _pid in there}
    found = signalled.open().values_list("pk", "detail")
    gone = [
        pk for pk, detail in found if detail not in alive and detail.rpartition(" ")[0] in heard
    ]
    rows = signalled.open()
    done = rows.filter(pk__in=gone).settle(TargetState.DONE, detail=F("detail"))
    rows.filter(started_at__lt=Now() - PATIENCE).settle(
        TargetState.UNKNOWN, reason="ignores", detail=F("detail")
    )
    rows.update(due_at=after(LOOK))
    return done


def _settle(rows: TargetQuerySet, told: TerminationReplies, repeated: set[str]) -> int:
    """Write down what became of those that were not signalled; return how many are over."""
    rows.filter(subject__in=told.refused).settle(TargetState.FAILED, reason="no_kill")
    rows.filter(subject__in=_unheard(rows, told)).settle(TargetState.UNKNOWN, reason="silent")
    left = list(rows.open().values_list("subject", flat=True))
    # Whoever asked before us was not heard of again; the worker has written down what it did.
    revoked = Result.objects.filter(
        task_id__in=repeated.intersection(left), status=ResultState.REVOKED
    )
    ended = list(revoked.values_list("task_id", flat=True))
    done = rows.filter(subject__in=ended).settle(TargetState.DONE)
    rows.open().settle(TargetState.SKIPPED, reason="not_running")
    return done


def _unheard(rows: TargetQuerySet, told: TerminationReplies) -> list[str]:
    """Of those without an outcome: what may run on a worker that did not answer."""
    left = list(rows.open().values_list("subject", flat=True))
    unended = Result.objects.filter(task_id__in=left, status__in=UNREADY)
    if told.replied:
        unended = unended.exclude(worker__in=told.replied)
        if not told.not_responding:  # all have answered who may run one that says no worker's name
            unended = unended.exclude(worker=None)
    return list(unended.values_list("task_id", flat=True))
