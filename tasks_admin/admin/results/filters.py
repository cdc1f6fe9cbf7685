"""The filters of the list of results: each uses an index, or searches a bounded number of rows."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.contrib.admin import ListFilter, ModelAdmin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils.dateparse import parse_datetime
from django.utils.text import capfirst
from django.utils.timezone import get_current_timezone, is_naive, make_aware
from django.utils.translation import gettext_lazy as _

from tasks_admin.admin.shared.filters import ChoiceFilter
from tasks_admin.integrations import broker
from tasks_admin.models import Operation, Target
from tasks_admin.models.expressions import ExceptionClass, QueueName
from tasks_admin.models.lock_keys import LockKind, lock_key_expression
from tasks_admin.models.result_states import ResultState
from tasks_admin.models.results import ResultQuerySet

MAX_VALUE_LENGTH = 255


class KeysetFilter:
    """The properties of a filter by which `KeysetChangeList` chooses the driving filter."""

    #: The lower, the more selective the filter is as a rule.
    rank = 50
    #: The fields by which its index orders the rows, before the primary key.
    order: tuple[str, ...] = ()
    #: Whether it has no index.
    scans = False


class StatusFilter(KeysetFilter, ChoiceFilter):
    """Filters by status."""

    title = _("status")
    parameter_name = field = "status"
    rank = 60

    def lookups(
        self, request: HttpRequest, model_admin: "ModelAdmin[Any]"
    ) -> Iterable[tuple[str, Any]]:
        """The statuses in the order of a task's life. RECEIVED is hardly ever stored."""
        return [
            (state.value, capfirst(state.label))
            for state in ResultState
            if state != ResultState.RECEIVED
        ]


class RetriedFilter(KeysetFilter, ChoiceFilter):
    """Filters by whether staff retried the task."""

    title = _("retried")
    parameter_name = "retried"
    rank, scans = 90, True

    def lookups(
        self, request: HttpRequest, model_admin: "ModelAdmin[Any]"
    ) -> Iterable[tuple[str, Any]]:
        """Retried or not."""
        return [("yes", _("Yes")), ("no", _("No"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the retried results, or the others."""
        if self.value() not in {"yes", "no"}:
            return queryset.none() if self.value() else queryset
        lock_key = lock_key_expression(LockKind.RESULT, OuterRef("task_id"))
        retried = Exists(Target.objects.filter(lock_key=lock_key))
        return queryset.filter(retried if self.value() == "yes" else ~retried)


class InputFilter(KeysetFilter, ListFilter):
    """Filters by the values of a small form; works without a script."""

    template = "admin/tasks_admin/filter_input.html"
    #: (parameter, label, type of the input).
    inputs: tuple[tuple[str, Any, str], ...] = ()
    #: The values that the input suggests.
    suggestions: tuple[str, ...] | list[str] = ()

    def __init__(
        self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        self.values = {
            name: str((params.pop(name, None) or [""])[-1])
            .replace("\x00", "")
            .strip()[:MAX_VALUE_LENGTH]
            for name, _label, _type in self.inputs
        }
        self.values = {name: value for name, value in self.values.items() if value}

    @classmethod
    def parameters(cls) -> list[str]:
        """The names of its query parameters."""
        return [name for name, _label, _type in cls.inputs]

    def has_output(self) -> bool:
        """Always: a value can be entered at any time."""
        return True

    def is_active(self) -> bool:
        """Whether a value has been entered."""
        return bool(self.values)

    def expected_parameters(self) -> list[str | None]:
        """The names of its query parameters."""
        return [*self.parameters()]

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        """The context of the form: its inputs, and the other filters as hidden fields."""
        others = changelist.get_filters_params() | {"q": changelist.query}
        hidden = [
            (name, value if isinstance(value, str) else value[-1])
            for name, value in others.items()
            if name not in self.parameters() and value
        ]
        yield {
            "inputs": [
                (name, label, kind, self.values.get(name, "")) for name, label, kind in self.inputs
            ],
            "hidden": hidden,
            "active": self.is_active(),
            "suggestions": self.suggestions,
            "clear": changelist.get_query_string(remove=self.parameters()),
        }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the matching rows; for an invalid value none, with a message."""
        if not self.values:
            return queryset
        try:
            return self.filter_rows(queryset)
        except (ValueError, OverflowError):
            text = _("The value of the filter “%(title)s” is not valid. No rows match.")
            messages.warning(request, text % {"title": self.title})
            return queryset.none()

    def filter_rows(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the matching rows; raises `ValueError` for an invalid value."""
        raise NotImplementedError


class TaskFilter(InputFilter):
    """Filters by task name."""

    title = _("task")
    inputs = (("task", _("Exact task name"), "text"),)

    @property
    def suggestions(self) -> list[str]:  # type: ignore[override]
        """The registered tasks."""
        return broker.registered_tasks()

    def filter_rows(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the results of the task."""
        return queryset.filter(task_name=self.values["task"])


class WorkerFilter(InputFilter):
    """Filters by worker."""

    title = _("worker")
    inputs = (("worker", _("Exact worker name"), "text"),)
    rank = 40

    def filter_rows(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the results of the worker."""
        return queryset.filter(worker=self.values["worker"])


class QueueFilter(InputFilter):
    """Filters by queue."""

    title = _("queue")
    inputs = (("queue", _("Exact queue name"), "text"),)
    rank = 55

    @property
    def suggestions(self) -> list[str]:  # type: ignore[override]
        """The queues that the project declares."""
        return broker.declared_queues()

    def filter_rows(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the results of tasks that were published to the queue."""
        named: QuerySet[Any] = queryset.alias(queue_name=QueueName())
        return named.filter(queue_name=self.values["queue"])


class ExceptionFilter(InputFilter):
    """Filters by exception class."""

    title = _("exception")
    inputs = (("exception", _("Exception class, e.g. ValueError"), "text"),)
    rank = 20

    def filter_rows(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the failures with this exception class."""
        failed: QuerySet[Any] = queryset.alias(exception=ExceptionClass()).filter(
            status=ResultState.FAILURE
        )
        return failed.filter(exception=self.values["exception"])


class OperationFilter(InputFilter):
    """Filters by operation."""

    title = _("operation")
    inputs = (("operation", _("Operation no."), "number"),)
    rank = 10

    def filter_rows(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the results of all attempts of the operation's targets."""
        number = int(self.values["operation"].lstrip("#"))
        operation = Operation.objects.filter(pk=number).first()
        if operation is None:
            return queryset.none()
        results: ResultQuerySet = queryset  # type: ignore[assignment]
        return results.with_id_prefix(f"{operation.key}-")


class TimeFilter(InputFilter):
    """Filters by the time when the task was queued."""

    title = _("time")
    inputs = (
        ("from", _("Queued from"), "datetime-local"),
        ("to", _("Queued before"), "datetime-local"),
    )
    rank, order = 30, ("date_created",)

    def filter_rows(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the tasks queued in the given period; its end is not included."""
        bounds = {"from": "date_created__gte", "to": "date_created__lt"}
        return queryset.filter(
            **{bounds[name]: self._parse(value) for name, value in self.values.items()}
        )

    def _parse(self, text: str) -> datetime:
        moment = parse_datetime(text)
        if moment is None:
            raise ValueError(text)
        return make_aware(moment, get_current_timezone()) if is_naive(moment) else moment
