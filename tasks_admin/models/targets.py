"""Targets: the items of an operation. A target row is the outbox: what is due is in the table."""

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from django.db import connections, models, router
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tasks_admin.lib.conf import settings
from tasks_admin.models.dialects import dialect_of
from tasks_admin.models.lock_keys import LockKind
from tasks_admin.models.operations import Operation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models.expressions import Combinable

#: Operation, target, attempt. One spelling each: no leading zeros, no digits of other scripts.
TASK_ID = re.compile(
    r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-([1-9][0-9]{0,17})-([1-9][0-9]{0,8})"
)


class TargetState(models.TextChoices):
    """What became of a target, or where it is on its way."""

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
    """A moment from now, by the database's clock: the hosts' clocks may disagree."""
    # SQLite compares texts: a sum has more digits than `Now()`, and would lie after it.
    return Now() + timedelta(seconds=seconds) if seconds else Now()


class TargetQuerySet(models.QuerySet["Target"]):
    """Targets. Every change of state is a guarded update: the loser of a race gets 0.

    A guard must not join: Django would update `WHERE id IN (SELECT …)`, and PostgreSQL does not
    look again at what is inside when it had to wait for another's update. Both would win.
    """

    def open(self) -> Self:
        """Those without an outcome."""
        return self.filter(state__in=OPEN)

    def due(self) -> Self:
        """Those that somebody has to look at now."""
        return self.open().filter(due_at__lte=Now())

    def overdue(self, state: TargetState) -> Self:
        """Those in flight whose lease is over."""
        return self.filter(state=state, due_at__lte=Now())

    def next_due(self) -> Self:
        """Those that wait and are due, in their order, read off the index made for it."""
        others = [state for state in TargetState if state != TargetState.WAITING]
        # `state = 'waiting'` would tempt the database to sort all that wait, for every chunk.
        unsettled = self.filter(finished_at=None, due_at__lte=Now()).exclude(state__in=others)
        return unsettled.order_by("due_at", "pk")

    def take_due(self, limit: int) -> "list[Target]":
        """Lock and return up to `limit` waiting targets that are due, in their order.

        Call it in a transaction that changes them. Rows that another dispatcher has locked are
        skipped where the database can skip them; SQLite has one writer at a time anyway.
        """
        skip = connections[self.db].features.has_select_for_update_skip_locked
        return list(self.next_due().select_for_update(skip_locked=skip)[:limit])

    def ended_within(self, seconds: float) -> Self:
        """Those that came to their outcome in the last so many seconds."""
        return self.filter(finished_at__gt=Now() - timedelta(seconds=seconds))

    def for_task_id(self, task_id: str) -> Self:
        """The target that a task id was made for, whichever of its attempts that is."""
        match = TASK_ID.fullmatch(task_id)
        if match is None:
            return self.none()
        return self.filter(pk=int(match[2]), operation__in=Operation.objects.filter(key=match[1]))

    def for_current_attempt(self, task_id: str) -> Self:
        """The target that a task id was made for, while that attempt is its newest."""
        match = TASK_ID.fullmatch(task_id)
        return self.for_task_id(task_id).filter(attempt=int(match[3])) if match else self.none()

    def claim(self, lease: float) -> int:
        """Take what is queued, in an operation that runs, for `lease` seconds."""
        running = Operation.objects.running().filter(pk=models.OuterRef("operation_id"))
        # What the broker did not confirm may be queued all the same.
        queued = models.Q(state=TargetState.QUEUED)
        queued |= models.Q(state=TargetState.WAITING, reason="broker")
        return self.filter(models.Exists(running), queued).update(
            state=TargetState.RUNNING,
            tries=models.F("tries") + 1,
            due_at=after(lease),
            started_at=Now(),
        )

    def requeue(self, delay: float, *, reason: str = "", detail: str = "", **more: Any) -> int:
        """Let what is queued or running wait again, for `delay` seconds."""
        return self.filter(state__in=[TargetState.QUEUED, TargetState.RUNNING]).update(
            state=TargetState.WAITING, due_at=after(delay), reason=reason, detail=detail, **more
        )

    def postpone(self, delay: float, *, reason: str) -> int:
        """Let what waits anyway wait some more, for `delay` seconds, and say why."""
        waiting = self.filter(state=TargetState.WAITING)
        return waiting.update(due_at=after(delay), reason=reason)

    def mark_queued(self, lease: float) -> int:
        """Celery itself will run it again under the same id (`Task.retry`)."""
        running = self.filter(state=TargetState.RUNNING)
        return running.update(state=TargetState.QUEUED, due_at=after(lease))

    def settle_crashed(self, *, again: bool) -> int:
        """Their process ended while it ran them: try again, or say that nobody knows."""
        running = self.filter(state=TargetState.RUNNING)
        if not again:
            return running.settle(TargetState.UNKNOWN, reason="worker_died")
        # Each row is counted by the statement that takes it out of `running`: once, whoever asks.
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
        """Write the outcome of what has none. All but a retry gives up its hold."""
        # A result is retried once: its hold stays, unless the retry never took effect.
        took_effect = state not in (TargetState.SKIPPED, TargetState.CANCELLED)
        keep = (
            models.Q(lock_key__startswith=LockKind.RESULT.prefix)
            if took_effect
            else models.Q(pk__in=[])
        )
        lock_key = models.Case(models.When(keep, then=models.F("lock_key")), default=None)
        # What nobody knew may become known.
        unsettled = self.filter(state__in=[*OPEN, TargetState.UNKNOWN])
        return unsettled.update(
            state=state, reason=reason, detail=detail, finished_at=Now(), lock_key=lock_key, **more
        )

    def freeze(
        self, operation: Operation, rows: "models.QuerySet[models.Model, tuple[str, str]]"
    ) -> int:
        """Insert a target for each (subject, lock_key) that the query gives: one INSERT … SELECT.

        A hold that another target has is left out, by the unique constraint. Returns how many
        rows were inserted.
        """
        database = router.db_for_write(self.model)
        connection = connections[database]
        quote = connection.ops.quote_name
        # A query that can match nothing (`pk__in=[]`) inserts nothing; it is no error.
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
    """One item of an operation: chosen when staff confirmed, never chosen again."""

    # Three indexes begin with it; and the database would look up the operation for each row.
    operation = models.ForeignKey(
        Operation, models.CASCADE, related_name="targets", db_index=False, db_constraint=False
    )
    #: What it is about: a user's primary key, or a result's task id.
    subject = models.CharField(_("target"), max_length=255)
    #: While it is set nobody else may hold the same: one open reset a user, one retry a result.
    lock_key = models.CharField(max_length=300, null=True)  # noqa: DJ001 (unique: many NULLs)
    state = models.CharField(
        _("outcome"), max_length=10, choices=TargetState.choices, default=TargetState.WAITING
    )
    #: Why it ended so, or waits: a code. `detail` holds what a mail server or task said.
    reason = models.CharField(_("reason"), max_length=40, blank=True)
    detail = models.CharField(_("detail"), max_length=500, blank=True)
    #: The number of the message that counts. It is the fence: who holds an older one is refused.
    attempt = models.PositiveIntegerField(default=0)
    #: How often a worker began, and how often its process died over it.
    tries = models.PositiveIntegerField(_("tries"), default=0)
    crashes = models.PositiveIntegerField(default=0)
    #: A try ended without anybody's word: it may have taken effect.
    uncertain = models.BooleanField(default=False)
    #: Waiting: publish then. Queued or running: the lease ends then.
    due_at = models.DateTimeField()
    #: When the newest attempt was published.
    queued_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(_("started"), null=True)
    finished_at = models.DateTimeField(_("ended"), null=True)

    objects = TargetQuerySet.as_manager()

    class Meta:
        verbose_name = _("target")
        verbose_name_plural = _("targets")
        default_permissions = ()
        constraints = [  # `unique=True` would add an index for LIKE, written with every state
            models.UniqueConstraint(fields=["lock_key"], name="tasks_admin_target_lock_key")
        ]
        indexes = [  # conditions without values: SQLite can't tell what a parameter will be
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
        """The id of the task that the newest attempt is."""
        return self.task_id_of(self.attempt)

    def task_id_of(self, attempt: int) -> str:
        """The id of the task that attempt number `attempt` is."""
        return f"{self.operation.key}-{self.pk}-{attempt}"

    def task_ids(self) -> "Iterable[str]":
        """The ids of all attempts, oldest first."""
        return [self.task_id_of(number) for number in range(1, self.attempt + 1)]

    @property
    def possibly_duplicated(self) -> bool:
        """Whether it may have taken effect twice: a try before ended without a word."""
        return self.state == TargetState.DONE and self.uncertain
