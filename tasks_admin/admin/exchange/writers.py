"""Writing rows as CSV and XLSX, a few at a time, whatever the number of rows."""

import csv
import io
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


@dataclass(frozen=True, kw_only=True)
class Writer:
    """A format that is written."""

    name: str
    #: Whether dates and truth values stay what they are, instead of becoming text.
    native: bool
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
    Writer(name="csv", native=False, respond=as_csv),
    Writer(name="xlsx", native=True, respond=as_xlsx, most=100_000),
)
