"""The exported columns: explicit lists. No other column can be requested."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Model, QuerySet
from django.utils.timezone import localtime
from import_export.fields import Field
from import_export.resources import ModelResource, modelresource_factory
from import_export.widgets import DateTimeWidget

from tasks_admin.admin.exchange.cells import escape_formula
from tasks_admin.admin.exchange.writers import Cells
from tasks_admin.lib.masks import mask_json
from tasks_admin.models import Operation, Result
from tasks_admin.models.targets import TargetState

#: Rows that are in memory at once.
BATCH_SIZE = 500


class IsoDateTimeWidget(DateTimeWidget):  # type: ignore[misc]
    """A time, in ISO 8601 unless the format has a type for it."""

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> Any:
        """The time in the current time zone."""
        if kwargs.get("cells") is Cells.DATA and not value:
            return None
        if not value or kwargs.get("cells") is Cells.NATIVE:
            return super().render(value, obj, **kwargs)
        return localtime(value).isoformat(timespec="seconds")


class ExportResource(ModelResource):  # type: ignore[misc]
    """Columns of a table, with formulas escaped."""

    WIDGETS_MAP = ModelResource.WIDGETS_MAP | {"DateTimeField": IsoDateTimeWidget}

    def export_field(self, field: Field, instance: Model, **kwargs: Any) -> object:
        """The value of a cell; in JSON, which no spreadsheet runs, it is not escaped."""
        value = super().export_field(field, instance, **kwargs)
        return value if kwargs.get("cells") is Cells.DATA else escape_formula(value)

    def file_rows(
        self, rows: QuerySet[Any], columns: Sequence[str], *, cells: Cells
    ) -> Iterator[list[object]]:
        """Yield the header, then a list for each row, fetched in batches."""
        fields = self.get_export_fields(columns)
        yield [field.column_name for field in fields]
        options = {"force_native_type": cells is not Cells.TEXT, "cells": cells}
        for row in self.iter_queryset(rows):
            yield [self.export_field(field, row, **options) for field in fields]


class KeysetResource(ExportResource):
    """Columns of a large table: no statement and no transaction lasts as long as the export."""

    def iter_queryset(self, queryset: QuerySet[Any]) -> Iterator[Any]:
        """Yield the rows, newest first, in batches by keyset pagination."""
        rows = queryset.order_by("-pk").defer("traceback", "result", "meta")
        batch = list(rows[:BATCH_SIZE])
        while batch:
            yield from batch
            batch = list(rows.filter(pk__lt=batch[-1].pk)[:BATCH_SIZE])


def importable_columns() -> list[str]:
    """The columns of users that can be imported; the first one identifies the user."""
    model = get_user_model()
    wanted = [model.USERNAME_FIELD, model.get_email_field_name(), "first_name", "last_name"]
    return _existing(model, wanted)


def _existing(model: type[Model], names: Sequence[str]) -> list[str]:
    existing = {field.name for field in model._meta.get_fields()}
    return [name for name in dict.fromkeys(names) if name in existing]


def _columns(
    model: type[Model],
    names: Sequence[str],
    *,
    base: type[ExportResource] = ExportResource,
    **others: Field,
) -> type[ExportResource]:
    options = {"fields": names, "export_order": names, "chunk_size": 2000}
    return modelresource_factory(model, base, options, others)  # type: ignore[no-any-return]


class FinishedField(Field):  # type: ignore[misc]
    """The end of a result: before, django-celery-results stores the time of any change in it."""

    def get_value(self, instance: Result) -> Any:
        """The time; None before the end."""
        return super().get_value(instance) if instance.ended else None


class MaskedField(Field):  # type: ignore[misc]
    """The stored arguments, masked."""

    def get_value(self, instance: Result) -> str:
        """The masked text."""
        return mask_json(super().get_value(instance) or "")


def _count(operation: Operation, *, state: str) -> int:
    cache = vars(operation)
    if "counted" not in cache:  # one query for all states
        cache["counted"] = operation.counts()
    return int(cache["counted"][state])


UserExport = _columns(
    get_user_model(),
    [*importable_columns(), *_existing(get_user_model(), ["is_active", "date_joined"])],
)
ResultExport = _columns(
    Result,
    [
        "task_id", "status", "task", "worker", "queued", "started", "finished", "args", "kwargs",
    ],
    base=KeysetResource,
    task=Field("task_name", "task"),
    queued=Field("date_created", "queued", IsoDateTimeWidget()),
    started=Field("date_started", "started", IsoDateTimeWidget()),
    finished=FinishedField("date_done", "finished", IsoDateTimeWidget()),
    args=MaskedField("task_args", "args"),
    kwargs=MaskedField("task_kwargs", "kwargs"),
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
