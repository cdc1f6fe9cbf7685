"""Results: one execution of a task, as django-celery-results stores it."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from django.db import connections, models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django_celery_results.models import TaskResult

from tasks_admin.lib import celery_json
from tasks_admin.models import result_meta, stored_exceptions
from tasks_admin.models.dialects import dialect_of
from tasks_admin.models.result_states import IN_PROGRESS, READY, ResultState


class Verdict(models.TextChoices):
    """Whether the stored arguments equal the ones that were sent."""

    EXACT = "exact", _("stored exactly")
    LOSSY = "lossy", _("not stored exactly")
    UNREADABLE = "unreadable", _("unreadable")


class InexactReason(models.TextChoices):
    """Why the stored arguments are not exact."""

    REDACTED = "redacted", _("redacted by the publisher (argsrepr)")
    TOO_LARGE = "too_large", _("too large")
    NOT_JSON = "not_json", _("not JSON")


class ResultQuerySet(models.QuerySet["Result"]):
    """Results."""

    def with_id_prefix(self, prefix: str) -> Self:
        """Results whose task id begins with `prefix` (ASCII), by the index of the ids."""
        lookup = dialect_of(connections[self.db]).prefix_lookup("task_id", prefix)
        return self.filter(**lookup)

    def insert_pending(self, results: "Iterable[Result]") -> None:
        """Insert rows of tasks that are about to be published; existing rows stay as they are."""
        self.bulk_create(list(results), ignore_conflicts=True)

    def revoke_unfinished(self) -> int:
        """Mark tasks that will not run: another attempt replaced them, or they were cancelled."""
        unfinished = self.filter(status__in=IN_PROGRESS)
        return unfinished.update(status=ResultState.REVOKED, date_done=Now())

    def fail_crashed(self) -> int:
        """Mark tasks whose process died once too often as failed: they can be retried."""
        unfinished = self.filter(status__in=IN_PROGRESS)
        return unfinished.update(
            status=ResultState.FAILURE,
            result=stored_exceptions.build(stored_exceptions.WORKER_LOST),
            date_done=Now(),
        )


class Result(TaskResult):
    """One execution of a task: the call, and its return value or exception."""

    objects = ResultQuerySet.as_manager()  # type: ignore[assignment]

    if TYPE_CHECKING:  # the package is not typed
        date_created: datetime
        date_started: datetime | None
        date_done: datetime
        worker: str | None

    class Meta:
        proxy = True
        verbose_name = _("task result")
        verbose_name_plural = _("task results")
        default_permissions = ("view",)

    @classmethod
    def build_pending(
        cls, *, task_id: str, task: str, args: object, kwargs: object, queue: str
    ) -> "Result":
        """The unsaved row of a task that is about to be published, with the JSON that is sent."""
        return cls(
            task_id=task_id,
            task_name=task,
            task_args=celery_json.encode(args),
            task_kwargs=celery_json.encode(kwargs),
            status=ResultState.PENDING,
            content_type="application/json",
            content_encoding="utf-8",
            meta=result_meta.build(queue),
        )

    @property
    def arguments(self) -> tuple[Verdict, list[Any], dict[str, Any]]:
        """The verdict, and the arguments if it is `EXACT`.

        We store the arguments as the JSON list and object that were sent. django-celery-results
        stores a JSON *string* that contains a repr, which may be truncated: that is lossy.
        """
        try:
            args = celery_json.decode(self.task_args or "null")
            kwargs = celery_json.decode(self.task_kwargs or "null")
        except celery_json.DECODING_ERRORS:
            return Verdict.UNREADABLE, [], {}
        if isinstance(args, list) and isinstance(kwargs, dict):
            return Verdict.EXACT, args, kwargs
        return (Verdict.LOSSY if args or kwargs else Verdict.UNREADABLE), [], {}

    @property
    def meta_values(self) -> dict[str, Any]:
        """The values in `meta` by name; see `result_meta`."""
        return result_meta.parse(self.meta)

    @property
    def parent(self) -> str:
        """The id of the task that published it; empty when none did, or if it is not recorded."""
        return str(self.meta_values.get("parent") or "")

    @property
    def root(self) -> str:
        """The id of the task at the top of its tree; empty for that task itself."""
        return str(self.meta_values.get("root") or "")

    @property
    def retries(self) -> list[result_meta.Retry]:
        """Celery's retries, oldest first, as far as they were recorded."""
        return result_meta.retries_in(self.meta_values)

    @property
    def inexact_reason(self) -> str:
        """Why the stored arguments are not exact, a code of `InexactReason`; empty if unknown."""
        return str(self.meta_values.get("arguments") or "")

    @property
    def queue(self) -> str:
        """The queue to which it was published; empty if it is not recorded."""
        return str(self.meta_values.get("queue") or "")

    @property
    def ended(self) -> bool:
        """Whether it has an outcome."""
        return self.status in READY

    @property
    def run_time(self) -> timedelta | None:
        """The duration of its execution; None if it is not known."""
        if not self.ended or not self.date_started:
            return None
        return max(self.date_done - self.date_started, timedelta())

    @property
    def queue_time(self) -> timedelta | None:
        """The time that it waited; None if it is not known. Clocks may differ: never negative."""
        if not self.date_started:
            return None
        return max(self.date_started - self.date_created, timedelta())

    @property
    def children(self) -> list[str]:
        """The ids of the tasks that it published, as Celery recorded them; each once."""
        return result_meta.children_in(self.meta_values)
