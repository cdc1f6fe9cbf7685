"""Writers of CSV, XLSX and JSON, in batches: memory does not grow with the number of rows."""

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

#: Rows that are sent together.
BATCH_SIZE = 500
#: The maximum length of a cell in a workbook.
MAX_CELL_LENGTH = 32_767


class Cells(enum.Enum):
    """The type of the cells: text, a workbook's own types, or JSON data."""

    TEXT = "text"
    NATIVE = "native"
    DATA = "data"


@dataclass(frozen=True, kw_only=True)
class Writer:
    """An export format."""

    name: str
    cells: Cells
    respond: Callable[[Rows, str], StreamingHttpResponse]
    #: The maximum number of rows; None: unlimited.
    max_rows: int | None = None


def csv_chunks(rows: Rows) -> Iterator[str]:
    """Yield the file in chunks."""
    while batch := list(islice(rows, BATCH_SIZE)):
        chunk = io.StringIO()
        csv.writer(chunk).writerows(batch)
        yield chunk.getvalue()


def as_csv(rows: Rows, filename: str) -> StreamingHttpResponse:
    """A streamed CSV file."""
    headers = {"Content-Disposition": f'attachment; filename="{filename}"'}
    kind = "text/csv; charset=utf-8"
    return StreamingHttpResponse(csv_chunks(rows), content_type=kind, headers=headers)


def json_chunks(rows: Rows) -> Iterator[str]:
    """Yield a list of objects in chunks, one object per line."""
    header = [str(name) for name in next(rows)]
    yield "["
    separator = "\n"
    while batch := list(islice(rows, BATCH_SIZE)):
        objects = (json.dumps(dict(zip(header, row, strict=True)), default=str) for row in batch)
        yield separator + ",\n".join(objects)
        separator = ",\n"
    yield "\n]\n"


def as_json(rows: Rows, filename: str) -> StreamingHttpResponse:
    """A streamed JSON file."""
    headers = {"Content-Disposition": f'attachment; filename="{filename}"'}
    return StreamingHttpResponse(
        json_chunks(rows), content_type="application/json", headers=headers
    )


def as_xlsx(rows: Rows, filename: str) -> StreamingHttpResponse:
    """A workbook, created on disk."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet()
    for row in rows:
        sheet.append(fit_cells(row))
    file = tempfile.TemporaryFile()  # noqa: SIM115 (the response closes it)
    book.save(file)
    file.seek(0)
    return FileResponse(file, as_attachment=True, filename=filename)


def fit_cells(row: Iterable[object]) -> list[object]:
    """Truncate the texts that are too long for a workbook, with a mark."""
    mark = _("… (truncated)")
    return [
        cell[: MAX_CELL_LENGTH - len(mark)] + mark
        if isinstance(cell, str) and len(cell) > MAX_CELL_LENGTH
        else cell
        for cell in row
    ]


WRITERS = (
    Writer(name="csv", cells=Cells.TEXT, respond=as_csv),
    Writer(name="xlsx", cells=Cells.NATIVE, respond=as_xlsx, max_rows=100_000),
    Writer(name="json", cells=Cells.DATA, respond=as_json),
)
