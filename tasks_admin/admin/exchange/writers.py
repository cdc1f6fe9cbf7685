"""Writing rows as CSV, XLSX and JSON, a few at a time, whatever the number of rows."""

import csv
import enum
import io
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from django.http import FileResponse, StreamingHttpResponse
from django.utils.translation import gettext as _
from openpyxl import Workbook  # type: ignore[import-untyped]

Rows = Iterator[Sequence[object]]

#: Rows that are put together before they are sent.
BATCH = 500
#: Characters that a cell of a workbook can hold.
CELL = 32_767


class Cells(enum.Enum):
    """What the cells are: text, what a workbook has for them, or data that nothing runs."""

    TEXT = "text"
    NATIVE = "native"
    DATA = "data"


@dataclass(frozen=True, kw_only=True)
class Writer:
    """A format that is written."""

    name: str
    cells: Cells
    respond: Callable[[Rows, str], StreamingHttpResponse]
    #: Rows that it is written with; None is no bound.
    most: int | None = None


def csv_chunks(rows: Rows) -> Iterator[str]:
    """Yield the file in pieces."""
    while batch := list(islice(rows, BATCH)):
        piece = io.StringIO()
        csv.writer(piece).writerows(batch)
        yield piece.getvalue()


def as_csv(rows: Rows, filename: str) -> StreamingHttpResponse:
    """Answer with a CSV file, made while it is sent."""
    headers = {"Content-Disposition": f'attachment; filename="{filename}"'}
    kind = "text/csv; charset=utf-8"
    return StreamingHttpResponse(csv_chunks(rows), content_type=kind, headers=headers)


def json_chunks(rows: Rows) -> Iterator[str]:
    """Yield a list of objects in pieces, an object a line."""
    header = [str(name) for name in next(rows)]
    yield "["
    between = "\n"
    while batch := list(islice(rows, BATCH)):
        objects = (json.dumps(dict(zip(header, row, strict=True)), default=str) for row in batch)
        yield between + ",\n".join(objects)
        between = ",\n"
    yield "\n]\n"


def as_json(rows: Rows, filename: str) -> StreamingHttpResponse:
    """Answer with a JSON file, made while it is sent."""
    headers = {"Content-Disposition": f'attachment; filename="{filename}"'}
    return StreamingHttpResponse(
        json_chunks(rows), content_type="application/json", headers=headers
    )


def as_xlsx(rows: Rows, filename: str) -> StreamingHttpResponse:
    """Answer with a workbook, made on disk."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet()
    for row in rows:
        sheet.append(fitting(row))
    file = tempfile.TemporaryFile()  # noqa: SIM115 (the response closes it)
    book.save(file)
    file.seek(0)
    return FileResponse(file, as_attachment=True, filename=filename)


def fitting(row: Iterable[object]) -> list[object]:
    """Return the cells as a workbook can hold them; what is cut says so."""
    mark = _("… (cut: a cell holds no more)")
    return [
        cell[: CELL - len(mark)] + mark if isinstance(cell, str) and len(cell) > CELL else cell
        for cell in row
    ]


WRITERS = (
    Writer(name="csv", cells=Cells.TEXT, respond=as_csv),
    Writer(name="xlsx", cells=Cells.NATIVE, respond=as_xlsx, most=100_000),
    Writer(name="json", cells=Cells.DATA, respond=as_json),
)
