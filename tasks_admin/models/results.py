"""Results: one execution of a task, as django-celery-results stores it."""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections, models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django_celery_results.models import TaskResult
from kombu.utils.json import dumps, loads

from tasks_admin.models.dialects import dialect_of


class Verdict(models.TextChoices):
    """How far the stored arguments can be trusted."""

    EXACT = "exact", _("exact")
    LOSSY = "lossy", _("lossy")
    UNREADABLE = "unreadable", _("unreadable")


#: What kombu's decoders raise over text that was not written by kombu.
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError)


#: What is stored of a task whose process died over it once too often.
DIED = {
    "exc_type": "WorkerLostError",
    "exc_message": ["Its process died each time."],
    "exc_module": "billiard.exceptions",
}
#: Celery's own retries of a task that are noted in `meta`, each under this name and its number.
MOST_RETRIES, RETRIED = 20, "retried-"
#: Tasks that a page lists as queued by one.
MOST_CHILDREN = 200


#: What kombu's encoder raises over what is no JSON.
NO_JSON = (TypeError, ValueError, RecursionError)


def encoded(value: Any) -> str:
    """A value as Celery sends it: JSON in which dates, decimals, UUIDs and bytes keep their type.

    Raises one of `NO_JSON` when it can't be sent.
    """
    return str(dumps(value))


def decoded(text: str, *, strict: bool = False) -> Any:
    """What such a text stands for; `strict` is for what people typed: no NaN, no name twice.

    Raises one of `UNREADABLE`.
    """
    if not strict:
        return loads(text)
    value = loads(text, _loads=partial(json.loads, parse_constant=_refused))
    json.loads(text, object_pairs_hook=_once)
    return value


def legible(value: Any, *, indent: int | None = None) -> str:
    """JSON for people: letters of all scripts as they are, unless they are halves of letters."""
    text = str(dumps(value, ensure_ascii=False, indent=indent))
    halved = any("\ud800" <= letter <= "\udfff" for letter in text)
    return str(dumps(value, indent=indent)) if halved else text


def _refused(word: str) -> Any:
    raise ValueError(word)


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a name twice")


def with_prefix(results: models.QuerySet[Any], prefix: str) -> models.QuerySet[Any]:
    """Keep those whose task id begins so (ASCII), read off the index of the ids."""
    dialect = dialect_of(connections[results.db])
    return results.filter(**dialect.prefix_lookup("task_id", prefix))


class Doubt(models.TextChoices):
    """Why arguments were not stored exactly."""

    REDACTED = "redacted", _("the publisher redacted them (argsrepr)")
    TOO_LARGE = "too_large", _("they are too large")
    NOT_JSON = "not_json", _("they are no JSON")


class Retry(NamedTuple):
    """Celery tried a task again: when (ISO 8601), and for which exception."""

    at: str
    exception: str

    @property
    def moment(self) -> datetime | None:
        """When; None for what is no date."""
        try:
            return datetime.fromisoformat(str(self.at))
        except ValueError:
            return None


class ResultQuerySet(models.QuerySet["Result"]):
    """Results."""

    def announce(self, results: "Iterable[Result]") -> None:
        """Store what was published; what is known already stays as it is."""
        self.bulk_create(list(results), ignore_conflicts=True)

    def discard(self) -> int:
        """Mark what will not be run: another attempt took its place, or it was cancelled."""
        waiting = self.filter(status__in=["PENDING", "RECEIVED", "STARTED"])
        return waiting.update(status="REVOKED", date_done=Now())

    def fail_crashed(self) -> int:
        """Mark what ended with its process once too often: it failed, and can be retried."""
        open_rows = self.filter(status__in=["PENDING", "RECEIVED", "STARTED"])
        return open_rows.update(
            status="FAILURE",
            result=dumps(DIED),
            date_done=Now(),
        )


class Result(TaskResult):
    """One execution of a task: what was asked and what came back."""

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
    def announced(
        cls, *, task_id: str, task: str, args: object, kwargs: object, queue: str
    ) -> "Result":
        """The row of a task that is about to be published, with the very JSON that is sent."""
        return cls(
            task_id=task_id,
            task_name=task,
            task_args=dumps(args),
            task_kwargs=dumps(kwargs),
            status="PENDING",
            content_type="application/json",
            content_encoding="utf-8",
            meta=dumps({"queue": queue, "children": []}),
        )

    @property
    def arguments(self) -> tuple[Verdict, list[Any], dict[str, Any]]:
        """The verdict, and the arguments when it is `exact`.

        We store the arguments as the JSON list and object that were sent. django-celery-results
        stores a JSON *string* with a repr in it, which may be cut: that is lossy.
        """
        try:
            args, kwargs = loads(self.task_args or "null"), loads(self.task_kwargs or "null")
        except UNREADABLE:
            return Verdict.UNREADABLE, [], {}
        if isinstance(args, list) and isinstance(kwargs, dict):
            return Verdict.EXACT, args, kwargs
        return (Verdict.LOSSY if args or kwargs else Verdict.UNREADABLE), [], {}

    @property
    def notes(self) -> dict[str, Any]:
        """What else is known: `queue`, and Celery's `children`."""
        try:
            notes = json.loads(self.meta or "{}")
        except (ValueError, RecursionError):
            return {}
        return notes if isinstance(notes, dict) else {}

    @property
    def parent(self) -> str:
        """The id of the task that queued it; empty when none did, or that was not recorded."""
        return str(self.notes.get("parent") or "")

    @property
    def root(self) -> str:
        """The id of the task at the top of its tree; empty when it is that itself."""
        return str(self.notes.get("root") or "")

    @property
    def retries(self) -> list[Retry]:
        """When Celery tried it again, oldest first, as far as that was noted."""
        notes = self.notes
        names = [f"{RETRIED}{number}" for number in range(MOST_RETRIES)]
        found = (notes[name] for name in names if name in notes)
        return [Retry(*one) for one in found if isinstance(one, list) and len(one) == 2]

    @property
    def doubt(self) -> str:
        """Why the arguments are not exact, where we know: redacted, too_large or not_json."""
        return str(self.notes.get("arguments") or "")

    @property
    def queue(self) -> str:
        """The queue it was sent to; empty when that was not recorded."""
        return str(self.notes.get("queue") or "")

    @property
    def ended(self) -> bool:
        """Whether it has an outcome."""
        return self.status in {"SUCCESS", "FAILURE", "REVOKED"}

    @property
    def run_time(self) -> timedelta | None:
        """How long it ran, when that is known."""
        if not self.ended or not self.date_started:
            return None
        return max(self.date_done - self.date_started, timedelta())

    @property
    def queue_time(self) -> timedelta | None:
        """How long it waited, when that is known; two clocks may disagree, never below zero."""
        if not self.date_started:
            return None
        return max(self.date_started - self.date_created, timedelta())

    @property
    def children(self) -> list[str]:
        """The ids of the tasks that it queued, as Celery told; of any depth, each once."""
        found: dict[str, None] = {}
        pending = [self.notes.get("children")]
        while pending and len(found) < MOST_CHILDREN:
            item = pending.pop(0)
            if isinstance(item, (list, tuple)):
                pending.extend(item)
            elif isinstance(item, str):
                found[item] = None
        return list(found)
