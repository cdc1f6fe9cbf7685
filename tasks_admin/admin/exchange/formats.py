"""The formats that are read. What a file claims to be is checked before anything trusts it."""

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import repeat
from typing import Any

import tablib
from django.utils.translation import gettext as _
from import_export.formats import base_formats
from openpyxl import load_workbook  # type: ignore[import-untyped]

from tasks_admin.admin.exchange.cells import text
from tasks_admin.admin.exchange.errors import Unreadable
from tasks_admin.lib.conf import settings

#: A workbook that unpacks to more than this, in all or times its size, is refused.
MOST_UNPACKED = 50_000_000
MOST_RATIO = 20
#: XML tags for each row that is allowed: what takes memory is their number, not their size.
MOST_TAGS = 50
MOST_COLUMNS = 100
#: Rows that a sheet can have.
SHEET_ROWS = 1_048_576


class Csv(base_formats.CSV):  # type: ignore[misc]
    """CSV as spreadsheets write it: UTF-8 with or without a mark, separated by , or ; or tabs."""

    def is_binary(self) -> bool:
        """Whether we get bytes: decoding them is our business."""
        return True

    def get_read_mode(self) -> str:
        """How the upload is opened."""
        return "rb"

    def create_dataset(self, data: bytes, **kwargs: Any) -> tablib.Dataset:
        """Read a file; raises `Unreadable`."""
        decoded = decode(data)
        delimiter = max(",;\t", key=decoded.partition("\n")[0].count)
        lines = csv.reader(io.StringIO(decoded, newline=""), delimiter=delimiter, strict=True)
        try:
            return table(lines)
        except csv.Error as error:
            words = _("Line %(line)d can't be read as CSV: %(error)s.")
            raise Unreadable(words % {"line": lines.line_num, "error": error}) from None


class Xlsx(base_formats.XLSX):  # type: ignore[misc]
    """The first sheet of a workbook; formulas count as what they came to."""

    def create_dataset(self, data: bytes, **kwargs: Any) -> tablib.Dataset:
        """Read a file; raises `Unreadable`."""
        try:
            inspect(data)
            book = load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
            with closing(book):
                sheet = book.worksheets[0]
                sheet.reset_dimensions()  # a claim, which openpyxl would pad every row to
                return table(sheet.iter_rows(max_col=MOST_COLUMNS + 1, values_only=True))
        except Unreadable:
            raise
        except Exception as error:  # openpyxl answers a garbled file with any of two dozen
            raise Unreadable(_("This workbook is damaged and can't be read.")) from error


def decode(data: bytes) -> str:
    """Return the text; raises `Unreadable` for any encoding but UTF-8."""
    try:
        decoded = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        decoded = "\0"
    if "\0" in decoded:  # as UTF-16 is full of
        raise Unreadable(_("This is not text in UTF-8. Save it as “CSV UTF-8” and try again."))
    return decoded


def inspect(data: bytes) -> None:
    """Refuse what is no workbook, or would unpack to more than a workbook of users can need."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except zipfile.BadZipFile:
        raise Unreadable(_("This is not an XLSX workbook, or it asks for a password.")) from None
    members = archive.infolist()
    if any(member.flag_bits & 1 for member in members):
        raise Unreadable(_("This is not an XLSX workbook, or it asks for a password."))
    unpacked = sum(member.file_size for member in members)
    if unpacked > min(MOST_UNPACKED, MOST_RATIO * len(data)):
        raise Unreadable(_("This workbook unpacks to far more than its size. It was not opened."))
    # Within the bounds from here on: zipfile never reads more than a member declares.
    inspect_parts([archive.read(member) for member in members if not member.is_dir()])


def inspect_parts(parts: Sequence[bytes]) -> None:
    """Refuse XML that defines entities, or has more tags than users can need."""
    if any(b"<!DOCTYPE" in part or b"<!ENTITY" in part for part in parts):
        raise Unreadable(_("This workbook is damaged and can't be read."))
    most = settings.IMPORT_MAX_ROWS
    if sum(part.count(b"<") for part in parts) > MOST_TAGS * max(most, 100):
        words = _(
            "This workbook holds more than %(most)d users need. Split or copy it to a new one."
        )
        raise Unreadable(words % {"most": most})


def table(rows: Iterable[Sequence[object]]) -> tablib.Dataset:
    """Return the rows under their header as text; raises `Unreadable` when they don't fit."""
    lines = iter(rows)
    header = named([text(cell).strip() for cell in next(lines, ())])
    data = tablib.Dataset(headers=header)
    for number, row in enumerate(filled(lines), 2):
        if number - 1 > settings.IMPORT_MAX_ROWS:
            most = settings.IMPORT_MAX_ROWS
            raise Unreadable(_("More than %(most)d rows. Split the file.") % {"most": most})
        cells = [text(cell) for cell in row]
        if any(cells[len(header) :]):
            raise Unreadable(_("Line %(line)d is longer than the header.") % {"line": number})
        data.append((cells + [""] * len(header))[: len(header)])
    if not data:
        raise Unreadable(_("No valid data: there is no line under the header."))
    return data


def named(header: list[str]) -> list[str]:
    """Return the names of the columns, without the empty ones at the end."""
    while header and not header[-1]:
        header.pop()
    if not header:
        raise Unreadable(_("The first line is empty. It must name the columns."))
    if len(header) > MOST_COLUMNS:
        raise Unreadable(_("More than %(most)d columns.") % {"most": MOST_COLUMNS})
    if not all(header) or len(set(header)) < len(header):
        raise Unreadable(_("Every column needs a name in the first line, and one of its own."))
    return header


def filled(rows: Iterable[Sequence[object]]) -> Iterator[Sequence[object]]:
    """Yield the rows but for the empty ones at the end: those between keep the numbers right."""
    empty = 0
    for row in rows:
        if row.count(None) + row.count("") < len(row):
            yield from repeat((), empty)
            yield row
            empty = 0
        elif (empty := empty + 1) > SHEET_ROWS:
            raise Unreadable(_("This workbook is damaged and can't be read."))
