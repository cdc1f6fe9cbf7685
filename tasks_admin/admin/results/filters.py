"""The filters of the list of results: each is read off an index, or looked for within a bound."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.contrib.admin import ListFilter, ModelAdmin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils.dateparse import parse_datetime
from django.utils.timezone import get_current_timezone, is_naive, make_aware
from django.utils.translation import gettext_lazy as _

from tasks_admin.admin.shared.filters import ChoiceFilter
from tasks_admin.integrations import broker
from tasks_admin.models import Operation, Target
from tasks_admin.models.expressions import ExceptionClass, QueueName
from tasks_admin.models.lock_keys import LockKind, lock_key_expression
from tasks_admin.models.result_states import ResultState
from tasks_admin.models.results import ResultQuerySet

LONGEST = 255


class Ranked:
    """What the list asks of a filter to know where to read."""

    #: The lower, the fewer rows it leaves, as a rule.
    rank = 50
    #: The order in which its index has the rows, before their key.
    order: tuple[str, ...] = ()
    #: Whether no index knows it.
    scans = False


class StatusFilter(Ranked, ChoiceFilter):
    """By Celery's state."""

    title = _("status")
    parameter_name = field = "status"
    rank = 60

    def lookups(
        self, request: HttpRequest, model_admin: "ModelAdmin[Any]"
    ) -> Iterable[tuple[str, Any]]:
        """Celery's states, in the order of a task's life, and one of ours."""
        return [
            (state.value, state.label) for state in ResultState if state != ResultState.RECEIVED
        ]


class RetriedFilter(Ranked, ChoiceFilter):
    """By whether somebody retried it."""

    title = _("retried")
    parameter_name = "retried"
    rank, scans = 90, True

    def lookups(
        self, request: HttpRequest, model_admin: "ModelAdmin[Any]"
    ) -> Iterable[tuple[str, Any]]:
        """Yes and no."""
        return [("yes", _("Yes")), ("no", _("No"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows that a retry holds, or the others."""
        if self.value() not in {"yes", "no"}:
            return queryset.none() if self.value() else queryset
        lock_key = lock_key_expression(LockKind.RESULT, OuterRef("task_id"))
        held = Exists(Target.objects.filter(lock_key=lock_key))
        return queryset.filter(held if self.value() == "yes" else ~held)


class InputFilter(Ranked, ListFilter):
    """Filters by what is typed into a small form; works without a script."""

    template = "admin/tasks_admin/filter_typed.html"
    #: (parameter, label, type of the input).
    inputs: tuple[tuple[str, Any, str], ...] = ()
    #: What is offered while one types.
    suggestions: tuple[str, ...] | list[str] = ()

    def __init__(
        self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        self.typed = {
            name: str((params.pop(name, None) or [""])[-1]).replace("\x00", "").strip()[:LONGEST]
            for name, _label, _type in self.inputs
        }
        self.typed = {name: value for name, value in self.typed.items() if value}

    @classmethod
    def parameters(cls) -> list[str]:
        """The names that it takes from an address."""
        return [name for name, _label, _type in cls.inputs]

    def has_output(self) -> bool:
        """Always shown: one may want to type."""
        return True

    def chosen(self) -> bool:
        """Whether it is set."""
        return bool(self.typed)

    def expected_parameters(self) -> list[str | None]:
        """The names that it takes from an address."""
        return [*self.parameters()]

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        """What the form needs: its inputs, and the other filters that stay as they are."""
        others = changelist.get_filters_params() | {"q": changelist.query}
        kept = [
            (name, value if isinstance(value, str) else value[-1])
            for name, value in others.items()
            if name not in self.parameters() and value
        ]
        yield {
            "inputs": [
                (name, label, kind, self.typed.get(name, "")) for name, label, kind in self.inputs
            ],
            "kept": kept,
            "chosen": self.chosen(),
            "suggestions": self.suggestions,
            "clear": changelist.get_query_string(remove=self.parameters()),
        }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows that match; with nonsense nothing does, and that is said."""
        if not self.typed:
            return queryset
        try:
            return self.matching(queryset)
        except (ValueError, OverflowError):
            text = _("The filter by %(title)s could not be read: nothing matches it.")
            messages.warning(request, text % {"title": self.title})
            return queryset.none()

    def matching(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows that match; raises `ValueError` over nonsense."""
        raise NotImplementedError


class TaskFilter(InputFilter):
    """By task."""

    title = _("task")
    inputs = (("task", _("Name, whole"), "text"),)

    @property
    def suggestions(self) -> list[str]:  # type: ignore[override]
        """The tasks that the project has now."""
        return broker.registered_tasks()

    def matching(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Of this very name."""
        return queryset.filter(task_name=self.typed["task"])


class WorkerFilter(InputFilter):
    """By worker."""

    title = _("worker")
    inputs = (("worker", _("Name, whole"), "text"),)
    rank = 40

    def matching(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Run by this very worker."""
        return queryset.filter(worker=self.typed["worker"])


class QueueFilter(InputFilter):
    """By queue."""

    title = _("queue")
    inputs = (("queue", _("Name, whole"), "text"),)
    rank = 55

    @property
    def suggestions(self) -> list[str]:  # type: ignore[override]
        """The queues that the project declares."""
        return broker.declared_queues()

    def matching(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Sent to this very queue."""
        named: QuerySet[Any] = queryset.alias(queue_name=QueueName())
        return named.filter(queue_name=self.typed["queue"])


class RaisedFilter(InputFilter):
    """By the class of the exception."""

    title = _("exception")
    inputs = (("raised", _("Class, without its module"), "text"),)
    rank = 20

    def matching(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Failed with this very class."""
        failed: QuerySet[Any] = queryset.alias(raised=ExceptionClass()).filter(
            status=ResultState.FAILURE
        )
        return failed.filter(raised=self.typed["raised"])


class OperationFilter(InputFilter):
    """By the operation that queued it."""

    title = _("operation")
    inputs = (("operation", _("Number"), "number"),)
    rank = 10

    def matching(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """All attempts at its targets."""
        number = int(self.typed["operation"].lstrip("#"))
        operation = Operation.objects.filter(pk=number).first()
        if operation is None:
            return queryset.none()
        results: ResultQuerySet = queryset  # type: ignore[assignment]
        return results.with_id_prefix(f"{operation.key}-")


class TimeFilter(InputFilter):
    """By when it was queued."""

    title = _("time")
    inputs = (("from", _("From"), "datetime-local"), ("to", _("To"), "datetime-local"))
    rank, order = 30, ("date_created",)

    def matching(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Queued from the one moment on, and before the other."""
        bounds = {"from": "date_created__gte", "to": "date_created__lt"}
        return queryset.filter(
            **{bounds[name]: self._moment(value) for name, value in self.typed.items()}
        )

    def _moment(self, text: str) -> datetime:
        moment = parse_datetime(text)
        if moment is None:
            raise ValueError(text)
        return make_aware(moment, get_current_timezone()) if is_naive(moment) else moment
