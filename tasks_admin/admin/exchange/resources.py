"""What is exported: lists of columns. What is not in a list can't be asked for."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Model, QuerySet
from django.utils.timezone import localtime
from import_export.fields import Field
from import_export.resources import ModelResource, modelresource_factory
from import_export.widgets import DateTimeWidget

from tasks_admin.admin.exchange.cells import guard
from tasks_admin.admin.exchange.writers import Cells
from tasks_admin.lib.masks import mask_json
from tasks_admin.models import Operation, Result
from tasks_admin.models.targets import TargetState

#: Rows of a large table that are in memory at once.
CHUNK = 500


class Moment(DateTimeWidget):  # type: ignore[misc]
    """A moment, as ISO 8601 has it where the format has no dates of its own."""

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> Any:
        """Return the moment in the site's time zone."""
        if kwargs.get("cells") is Cells.DATA and not value:
            return None
        if not value or kwargs.get("cells") is Cells.NATIVE:
            return super().render(value, obj, **kwargs)
        return localtime(value).isoformat(timespec="seconds")


class Columns(ModelResource):  # type: ignore[misc]
    """Columns of a table. Every cell is one that no spreadsheet runs."""

    WIDGETS_MAP = ModelResource.WIDGETS_MAP | {"DateTimeField": Moment}

    def export_field(self, field: Field, instance: Model, **kwargs: Any) -> object:
        """Return a cell; as data it is what it is, for no spreadsheet runs that."""
        value = super().export_field(field, instance, **kwargs)
        return value if kwargs.get("cells") is Cells.DATA else guard(value)

    def file(
        self, rows: QuerySet[Any], columns: Sequence[str], *, cells: Cells
    ) -> Iterator[list[object]]:
        """Yield the header, then a list for each row; the rows are fetched in chunks."""
        fields = self.get_export_fields(columns)
        yield [field.column_name for field in fields]
        manner = {"force_native_type": cells is not Cells.TEXT, "cells": cells}
        for row in self.iter_queryset(rows):
            yield [self.export_field(field, row, **manner) for field in fields]


class ByKey(Columns):
    """Columns of a large table: no statement, and no transaction, lasts as long as the export."""

    def iter_queryset(self, queryset: QuerySet[Any]) -> Iterator[Any]:
        """Yield the rows newest first, `CHUNK` at a time, each chunk from where the last ended."""
        rows = queryset.order_by("-pk").defer("traceback", "result", "meta")
        chunk = list(rows[:CHUNK])
        while chunk:
            yield from chunk
            chunk = list(rows.filter(pk__lt=chunk[-1].pk)[:CHUNK])


def importable() -> list[str]:
    """The user model's columns that can be imported; the first one tells users apart."""
    model = get_user_model()
    wanted = [model.USERNAME_FIELD, model.get_email_field_name(), "first_name", "last_name"]
    return _those_of(model, wanted)


def _those_of(model: type[Model], names: Sequence[str]) -> list[str]:
    there = {field.name for field in model._meta.get_fields()}
    return [name for name in dict.fromkeys(names) if name in there]


def _columns(
    model: type[Model], names: Sequence[str], *, base: type[Columns] = Columns, **others: Field
) -> type[Columns]:
    options = {"fields": names, "export_order": names, "chunk_size": 2000}
    return modelresource_factory(model, base, options, others)  # type: ignore[no-any-return]


class Ended(Field):  # type: ignore[misc]
    """When a result ended: before that, django-celery-results notes any change there."""

    def get_value(self, instance: Result) -> Any:
        """Return the moment; None while it has not ended."""
        return super().get_value(instance) if instance.ended else None


class Masked(Field):  # type: ignore[misc]
    """Arguments as they are stored, but for the secrets in them."""

    def get_value(self, instance: Result) -> str:
        """Return the text, masked."""
        return mask_json(super().get_value(instance) or "")


def _count(operation: Operation, *, state: str) -> int:
    known = vars(operation)
    if "counted" not in known:  # once for all the states
        known["counted"] = operation.counts()
    return int(known["counted"][state])


UserExport = _columns(
    get_user_model(),
    [*importable(), *_those_of(get_user_model(), ["is_active", "date_joined"])],
)
ResultExport = _columns(
    Result,
    [
        "task_id", "status", "task_name", "worker", "queued", "date_started", "date_done",
        "task_args", "task_kwargs",
    ],
    base=ByKey,
    task_args=Masked("task_args", "task_args"),
    task_kwargs=Masked("task_kwargs", "task_kwargs"),
    queued=Field("date_created", "queued", Moment()),
    date_done=Ended("date_done", "date_done", Moment()),
)  # fmt: skip
OperationExport = _columns(
    Operation,
    [
        "id", "verb", "state", "actor_name", "reason", "total", "created_at", "finished_at",
        *TargetState.values,
    ],
    **{
        state: Field(column_name=state, dehydrate_method=partial(_count, state=state))
        for state in TargetState.values
    },
)  # fmt: skip
