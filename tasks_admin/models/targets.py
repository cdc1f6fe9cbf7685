"""Targets: the items of an operation. A target row is also the outbox entry of its message."""

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from django.db import connections, models, router
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from tasks_admin.lib.conf import settings
from tasks_admin.models.dialects import dialect_of
from tasks_admin.models.lock_keys import LockKind
from tasks_admin.models.operations import Operation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models.expressions import Combinable

#: Operation key, target, attempt. Each id has one form: no leading zeros, ASCII digits only.
TASK_ID = re.compile(
    r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-([1-9][0-9]{0,17})-([1-9][0-9]{0,8})"
)


class TargetState(models.TextChoices):
    """The states of a target: `OPEN` before its outcome, `OUTCOMES` afterwards."""

    WAITING = "waiting", _("waiting")
    QUEUED = "queued", _("queued")
    RUNNING = "running", _("running")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")
    SKIPPED = "skipped", _("skipped")
    CANCELLED = "cancelled", _("cancelled")
    UNKNOWN = "unknown", _("unknown")


OPEN = (TargetState.WAITING, TargetState.QUEUED, TargetState.RUNNING)
OUTCOMES = tuple(state for state in TargetState if state not in OPEN)


def after(seconds: float) -> "Combinable":
    """The time in `seconds` from now by the database's clock: the hosts' clocks may differ."""
    # SQLite compares texts: a sum has more digits than `Now()` and would be later than it.
    return Now() + timedelta(seconds=seconds) if seconds else Now()


class TargetQuerySet(models.QuerySet["Target"]):
    """Targets. Every change of state is a guarded update: the loser of a race gets 0.

    A guard must not join: Django would update `WHERE id IN (SELECT …)`, and PostgreSQL does not
    evaluate the subquery again after it waited for a concurrent update. Both would win.
    """

    def open(self) -> Self:
        """The targets without an outcome."""
        return self.filter(state__in=OPEN)

    def due(self) -> Self:
        """The open targets to publish or to recover now."""
        return self.open().filter(due_at__lte=Now())

    def overdue(self, state: TargetState) -> Self:
        """The targets in this state whose lease has expired."""
        return self.filter(state=state, due_at__lte=Now())

    def next_due(self) -> Self:
        """The waiting targets that are due, in order, by an index scan."""
        others = [state for state in TargetState if state != TargetState.WAITING]
        # With `state = 'waiting'` the planner may sort all waiting targets, for every batch.
        unsettled = self.filter(finished_at=None, due_at__lte=Now()).exclude(state__in=others)
        return unsettled.order_by("due_at", "pk")

    def take_due(self, limit: int) -> "list[Target]":
        """Lock and return up to `limit` waiting targets that are due, in order.

        Call it in the transaction that changes them. Rows that another dispatcher has locked are
        skipped where the database supports it; SQLite has one writer at a time anyway.
        """
        skip = connections[self.db].features.has_select_for_update_skip_locked
        return list(self.next_due().select_for_update(skip_locked=skip)[:limit])

    def ended_within(self, seconds: float) -> Self:
        """The targets that finished in the last `seconds`."""
        return self.filter(finished_at__gt=Now() - timedelta(seconds=seconds))

    def for_task_id(self, task_id: str) -> Self:
        """The target of a task id, whichever attempt the id is of."""
        match = TASK_ID.fullmatch(task_id)
        if match is None:
            return self.none()
        return self.filter(pk=int(match[2]), operation__in=Operation.objects.filter(key=match[1]))

    def for_current_attempt(self, task_id: str) -> Self:
        """The target of a task id, if that attempt is its newest."""
        match = TASK_ID.fullmatch(task_id)
        return self.for_task_id(task_id).filter(attempt=int(match[3])) if match else self.none()

    def claim(self, lease: float) -> int:
        """Claim queued targets of running operations for `lease` seconds."""
        running = Operation.objects.running().filter(pk=models.OuterRef("operation_id"))
        # A message that the broker did not confirm may be queued nevertheless.
        queued = models.Q(state=TargetState.QUEUED)
        queued |= models.Q(state=TargetState.WAITING, reason="broker")
        return self.filter(models.Exists(running), queued).update(
            state=TargetState.RUNNING,
            tries=models.F("tries") + 1,
            due_at=after(lease),
            started_at=Now(),
        )

    def requeue(self, delay: float, *, reason: str = "", detail: str = "", **more: Any) -> int:
        """Return queued or running targets to waiting, due in `delay` seconds."""
        return self.filter(state__in=[TargetState.QUEUED, TargetState.RUNNING]).update(
            state=TargetState.WAITING, due_at=after(delay), reason=reason, detail=detail, **more
        )

    def postpone(self, delay: float, *, reason: str) -> int:
        """Make waiting targets due in `delay` seconds, with the reason."""
        waiting = self.filter(state=TargetState.WAITING)
        return waiting.update(due_at=after(delay), reason=reason)

    def mark_queued(self, lease: float) -> int:
        """Return running targets to queued: Celery retries the task with the same id."""
        running = self.filter(state=TargetState.RUNNING)
        return running.update(state=TargetState.QUEUED, due_at=after(lease))

    def settle_crashed(self, *, again: bool) -> int:
        """Requeue running targets whose process died; without `again` the outcome is unknown.

        After `MAX_CRASHES` the outcome is failed.
        """
        running = self.filter(state=TargetState.RUNNING)
        if not again:
            return running.settle(TargetState.UNKNOWN, reason="worker_died")
        # The statement that takes a row out of `running` counts the crash: of two processes that
        # recover it, one does.
        counted: dict[str, Any] = {"reason": "crashed", "crashes": models.F("crashes") + 1}
        counted["uncertain"] = True
        hopeless = running.filter(crashes__gte=settings.MAX_CRASHES - 1)
        return hopeless.settle(TargetState.FAILED, **counted) + running.requeue(0, **counted)

    def settle(
        self,
        state: TargetState,
        *,
        reason: str = "",
        detail: "str | models.F" = "",
        **more: Any,
    ) -> int:
        """Write the outcome of targets without one, and release their lock keys."""
        # A result is retried once: its lock key stays, unless the retry never took effect.
        took_effect = state not in (TargetState.SKIPPED, TargetState.CANCELLED)
        keep = (
            models.Q(lock_key__startswith=LockKind.RESULT.prefix)
            if took_effect
            else models.Q(pk__in=[])
        )
        lock_key = models.Case(models.When(keep, then=models.F("lock_key")), default=None)
        # Evidence may still replace an unknown outcome.
        unsettled = self.filter(state__in=[*OPEN, TargetState.UNKNOWN])
        return unsettled.update(
            state=state, reason=reason, detail=detail, finished_at=Now(), lock_key=lock_key, **more
        )

    def freeze(
        self, operation: Operation, rows: "models.QuerySet[models.Model, tuple[str, str]]"
    ) -> int:
        """Insert a target for each (subject, lock_key) of the query: one INSERT … SELECT.

        The unique constraint excludes rows whose lock key another target has. Returns the number
        of inserted rows.
        """
        database = router.db_for_write(self.model)
        connection = connections[database]
        quote = connection.ops.quote_name
        # A query that can match no row (`pk__in=[]`) inserts none; it is not an error.
        compiler = rows.order_by().query.get_compiler(connection=connection, elide_empty=False)
        sql, params = compiler.as_sql()
        names = ["subject", "lock_key"]
        fixed: dict[str, Any] = {
            "operation_id": operation.pk,
            "state": TargetState.WAITING.value,
            "reason": "",
            "detail": "",
            "attempt": 0,
            "tries": 0,
            "crashes": 0,
            "uncertain": False,
        }
        dialect = dialect_of(connection)
        columns = ", ".join(map(quote, [*names, "due_at", *fixed]))
        select = ", ".join(["frozen.subject", "frozen.lock_key", dialect.now, *["%s"] * len(fixed)])
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {quote(self.model._meta.db_table)} ({columns}) "  # noqa: S608
                f"WITH frozen(subject, lock_key) AS ({sql}) SELECT {select} FROM frozen "
                f"WHERE TRUE{dialect.do_nothing('lock_key')}",
                [*params, *fixed.values()],
            )
            return int(cursor.rowcount)


class Target(models.Model):
    """One item of an operation, selected once, when staff confirmed."""

    # Three indexes begin with it; a constraint would look up the operation for each row.
    operation = models.ForeignKey(
        Operation, models.CASCADE, related_name="targets", db_index=False, db_constraint=False
    )
    #: The key of the item, such as a user's primary key or a result's task id.
    subject = models.CharField(_("target"), max_length=255)
    #: Unique while it is set: one open reset for each user, one retry for each result.
    lock_key = models.CharField(max_length=300, null=True)  # noqa: DJ001 (unique: many NULLs)
    state = models.CharField(
        _("outcome"), max_length=10, choices=TargetState.choices, default=TargetState.WAITING
    )
    #: Why it waits or has this outcome: a code of `reasons`. `detail` holds the text of a mail
    #: server or a task.
    reason = models.CharField(_("reason"), max_length=40, blank=True)
    detail = models.CharField(_("detail"), max_length=500, blank=True)
    #: The number of the latest publication. It is the fence: older attempts have no effect.
    attempt = models.PositiveIntegerField(default=0)
    #: How often a worker started it, and how often the process died while running it.
    tries = models.PositiveIntegerField(_("attempts"), default=0)
    crashes = models.PositiveIntegerField(default=0)
    #: An attempt ended without an outcome: it may have taken effect.
    uncertain = models.BooleanField(default=False)
    #: Waiting: when to publish it. Queued or running: when the lease expires.
    due_at = models.DateTimeField()
    #: When the newest attempt was published.
    queued_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(pgettext_lazy("a moment", "started"), null=True)
    finished_at = models.DateTimeField(pgettext_lazy("a moment", "finished"), null=True)

    objects = TargetQuerySet.as_manager()

    class Meta:
        verbose_name = _("target")
        verbose_name_plural = _("targets")
        default_permissions = ()
        constraints = [  # `unique=True` would add a LIKE index, updated with every state
            models.UniqueConstraint(fields=["lock_key"], name="tasks_admin_target_lock_key")
        ]
        indexes = [  # conditions without values: SQLite cannot match them to parameters
            models.Index(fields=["operation", "id"], name="tasks_admin_target_page"),
            models.Index(fields=["operation", "state", "id"], name="tasks_admin_target_state"),
            models.Index(
                fields=["operation", "due_at", "id"],
                condition=models.Q(finished_at=None),
                name="tasks_admin_target_next",
            ),
            models.Index(
                fields=["operation", "finished_at"],
                condition=models.Q(finished_at__isnull=False),
                name="tasks_admin_target_ended",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.operation_id}/{self.subject}"

    @property
    def task_id(self) -> str:
        """The id of the newest attempt's task."""
        return self.task_id_of(self.attempt)

    def task_id_of(self, attempt: int) -> str:
        """The task id of attempt number `attempt`."""
        return f"{self.operation.key}-{self.pk}-{attempt}"

    def task_ids(self) -> "Iterable[str]":
        """The task ids of all attempts, oldest first."""
        return [self.task_id_of(number) for number in range(1, self.attempt + 1)]

    @property
    def possibly_duplicated(self) -> bool:
        """Whether it may have taken effect twice: an earlier attempt ended without an outcome."""
        return self.state == TargetState.DONE and self.uncertain
