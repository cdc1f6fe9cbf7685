"""Losses: tasks of the project that were published, are nowhere, and have no end.

A task is called lost only with evidence: its queue holds nothing, at least one worker answers,
and none of those that do knows it. The word is taken back by whatever is stored later.
"""

from datetime import timedelta

from django.db.models.functions import Now

from tasks_admin.integrations import broker, control
from tasks_admin.lib.conf import settings
from tasks_admin.models import QuarantinedMessage, Result
from tasks_admin.models.result_states import IN_PROGRESS, ResultState
from tasks_admin.models.targets import TASK_ID

#: Seconds between two looks, and results that one look takes.
EVERY, CHUNK = 30.0, 500


class Search:
    """Looks through all that has no end, oldest first, some at a time; then begins again."""

    def __init__(self) -> None:
        self.after = 0

    def scan_next(self) -> int:
        """Look at the next results; return how many were found to be lost.

        Raises `BrokerUnreachable`: then nobody knows.
        """
        rows = self._next()
        by_queue: dict[str, list[Result]] = {}
        for row in rows:
            if row.queue and not TASK_ID.fullmatch(row.task_id):  # others are published again
                by_queue.setdefault(row.queue, []).append(row)
        waiting = broker.count_waiting(by_queue) if by_queue else {}
        suspects = [row for name, found in by_queue.items() if not waiting[name] for row in found]
        if not suspects:
            return 0
        known = control.held_task_ids([row.task_id for row in suspects])
        if known is None:  # nobody answers: it may be with somebody who is only busy
            return 0
        known |= QuarantinedMessage.objects.task_ids_among(row.task_id for row in suspects)
        lost = [row.pk for row in suspects if row.task_id not in known]
        still = Result.objects.filter(pk__in=lost, status__in=IN_PROGRESS)
        return still.update(status=ResultState.LOST, date_done=Now())

    def _next(self) -> list[Result]:
        old = Now() - timedelta(seconds=settings.LOST_AFTER)
        rows: list[Result] = []
        for status in IN_PROGRESS:  # one after the other: each is read off the index in its order
            found = Result.objects.filter(status=status, pk__gt=self.after, date_created__lt=old)
            slim = found.only("task_id", "meta", "status")
            rows += slim.order_by("pk")[:CHUNK]
        rows = sorted(rows, key=lambda row: row.pk)[:CHUNK]
        self.after = rows[-1].pk if len(rows) == CHUNK else 0
        return rows
