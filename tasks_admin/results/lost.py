"""Lost tasks: published, without an outcome, and in no queue and no worker any more.

A task is marked as lost only on evidence: its queue is empty, at least one worker replies, and no
worker that may hold tasks holds it. Any status that is stored later replaces the mark.
"""

from datetime import timedelta

from django.db.models.functions import Now

from tasks_admin.integrations import broker, control
from tasks_admin.lib.conf import settings
from tasks_admin.models import QuarantinedMessage, Result
from tasks_admin.models.result_states import IN_PROGRESS, ResultState
from tasks_admin.models.targets import TASK_ID

#: Seconds between two scans, and the number of results in one.
SCAN_INTERVAL, BATCH_SIZE = 30.0, 500


class Scanner:
    """Scans all results in progress in batches, oldest first; then starts again."""

    def __init__(self) -> None:
        self.after = 0

    def scan_next(self) -> int:
        """Scan the next batch; return how many results were marked as lost.

        Raises `BrokerUnreachable`: then there is no evidence.
        """
        rows = self._next_batch()
        by_queue: dict[str, list[Result]] = {}
        for row in rows:
            # Targets are skipped: the dispatcher recovers them.
            if row.queue and not TASK_ID.fullmatch(row.task_id):
                by_queue.setdefault(row.queue, []).append(row)
        waiting = broker.count_waiting(by_queue) if by_queue else {}
        suspects = [row for name, found in by_queue.items() if not waiting[name] for row in found]
        if not suspects:
            return 0
        held = control.held_task_ids([row.task_id for row in suspects])
        if held is None:  # no reply: a worker that is only busy may hold the tasks
            return 0
        held |= QuarantinedMessage.objects.task_ids_among(row.task_id for row in suspects)
        lost = [row.pk for row in suspects if row.task_id not in held]
        # A worker may have stored a status since the batch was read.
        unchanged = Result.objects.filter(pk__in=lost, status__in=IN_PROGRESS)
        return unchanged.update(status=ResultState.LOST, date_done=Now())

    def _next_batch(self) -> list[Result]:
        old = Now() - timedelta(seconds=settings.LOST_AFTER)
        rows: list[Result] = []
        for status in IN_PROGRESS:  # one query each: an index has the rows of a status in order
            found = Result.objects.filter(status=status, pk__gt=self.after, date_created__lt=old)
            rows += found.only("task_id", "meta", "status").order_by("pk")[:BATCH_SIZE]
        rows = sorted(rows, key=lambda row: row.pk)[:BATCH_SIZE]
        self.after = rows[-1].pk if len(rows) == BATCH_SIZE else 0
        return rows
