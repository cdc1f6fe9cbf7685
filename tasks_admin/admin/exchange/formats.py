"""The import formats. Files are checked before they are parsed."""

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

from tasks_admin.admin.exchange.cells import to_text
from tasks_admin.admin.exchange.errors import UnreadableFile
from tasks_admin.lib.conf import settings

#: The maximum size of an unpacked workbook: in bytes, and relative to the file.
MAX_UNPACKED = 50_000_000
MAX_RATIO = 20
#: XML tags per allowed row: their number determines the memory, not their size.
MAX_TAGS_PER_ROW = 50
MAX_COLUMNS = 100
#: The maximum number of rows of a sheet.
MAX_SHEET_ROWS = 1_048_576


class Csv(base_formats.CSV):  # type: ignore[misc]
    """CSV as spreadsheets write it: UTF-8 with or without BOM, separated by , or ; or tabs."""

    def is_binary(self) -> bool:
        """Yes: the bytes are decoded here."""
        return True

    def get_read_mode(self) -> str:
        """The mode in which the upload is opened."""
        return "rb"

    def create_dataset(self, data: bytes, **kwargs: Any) -> tablib.Dataset:
        """Parse a file; raises `UnreadableFile`."""
        decoded = decode(data)
        delimiter = max(",;\t", key=decoded.partition("\n")[0].count)
        lines = csv.reader(io.StringIO(decoded, newline=""), delimiter=delimiter, strict=True)
        try:
            return build_table(lines)
        except csv.Error as error:
            text = _("Line %(line)d is not valid CSV: %(error)s.")
            raise UnreadableFile(text % {"line": lines.line_num, "error": error}) from None


class Xlsx(base_formats.XLSX):  # type: ignore[misc]
    """The first sheet of a workbook, with the results of formulas."""

    def create_dataset(self, data: bytes, **kwargs: Any) -> tablib.Dataset:
        """Parse a file; raises `UnreadableFile`."""
        try:
            check_archive(data)
            book = load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
            with closing(book):
                sheet = book.worksheets[0]
                sheet.reset_dimensions()  # openpyxl would pad every row to the stated width
                return build_table(sheet.iter_rows(max_col=MAX_COLUMNS + 1, values_only=True))
        except UnreadableFile:
            raise
        except Exception as error:  # openpyxl raises any of two dozen exceptions for a damaged file
            raise UnreadableFile(_("This workbook is damaged and cannot be read.")) from error


def decode(data: bytes) -> str:
    """The text; raises `UnreadableFile` for any encoding except UTF-8."""
    try:
        decoded = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        decoded = "\0"
    if "\0" in decoded:  # UTF-16 text contains NUL bytes
        raise UnreadableFile(
            _("The file is not UTF-8 text. Save it as “CSV UTF-8” and upload it again.")
        )
    return decoded


def check_archive(data: bytes) -> None:
    """Refuse files that are not workbooks, or unpack to an excessive size."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except zipfile.BadZipFile:
        raise UnreadableFile(
            _("The file is not an XLSX workbook, or it is password-protected.")
        ) from None
    members = archive.infolist()
    if any(member.flag_bits & 1 for member in members):
        raise UnreadableFile(_("The file is not an XLSX workbook, or it is password-protected."))
    unpacked = sum(member.file_size for member in members)
    if unpacked > min(MAX_UNPACKED, MAX_RATIO * len(data)):
        raise UnreadableFile(
            _("The unpacked size of this workbook is too large. It was not opened.")
        )
    # From here on the size is limited: zipfile reads no more than a member declares.
    check_xml([archive.read(member) for member in members if not member.is_dir()])


def check_xml(parts: Sequence[bytes]) -> None:
    """Refuse XML that defines entities or has an excessive number of tags."""
    if any(b"<!DOCTYPE" in part or b"<!ENTITY" in part for part in parts):
        raise UnreadableFile(_("This workbook is damaged and cannot be read."))
    limit = settings.IMPORT_MAX_ROWS
    if sum(part.count(b"<") for part in parts) > MAX_TAGS_PER_ROW * max(limit, 100):
        text = _(
            "This workbook has too much content for %(limit)s users. Split it, or copy the users "
            "to a new workbook."
        )
        raise UnreadableFile(text % {"limit": f"{limit:,}"})


def build_table(rows: Iterable[Sequence[object]]) -> tablib.Dataset:
    """The rows as text, with a header; raises `UnreadableFile` if they do not match it."""
    lines = iter(rows)
    header = column_names([to_text(cell).strip() for cell in next(lines, ())])
    data = tablib.Dataset(headers=header)
    for number, row in enumerate(without_blank_end(lines), 2):
        if number - 1 > settings.IMPORT_MAX_ROWS:
            limit = f"{settings.IMPORT_MAX_ROWS:,}"
            text = _("The file has more than %(limit)s rows. Split it into smaller files.")
            raise UnreadableFile(text % {"limit": limit})
        cells = [to_text(cell) for cell in row]
        if any(cells[len(header) :]):
            raise UnreadableFile(
                _("Line %(line)d has more cells than the header.") % {"line": number}
            )
        data.append((cells + [""] * len(header))[: len(header)])
    if not data:
        raise UnreadableFile(_("The file contains no data: no line follows the header."))
    return data


def column_names(header: list[str]) -> list[str]:
    """The names of the columns, without empty ones at the end."""
    while header and not header[-1]:
        header.pop()
    if not header:
        raise UnreadableFile(
            _("The first line is empty. It must contain the names of the columns.")
        )
    if len(header) > MAX_COLUMNS:
        raise UnreadableFile(
            _("The file has more than %(limit)d columns.") % {"limit": MAX_COLUMNS}
        )
    if not all(header) or len(set(header)) < len(header):
        raise UnreadableFile(_("Each column needs a unique name in the first line."))
    return header


def without_blank_end(rows: Iterable[Sequence[object]]) -> Iterator[Sequence[object]]:
    """Yield the rows except empty ones at the end; empty rows in between keep their numbers."""
    empty = 0
    for row in rows:
        if row.count(None) + row.count("") < len(row):
            yield from repeat((), empty)
            yield row
            empty = 0
        elif (empty := empty + 1) > MAX_SHEET_ROWS:
            raise UnreadableFile(_("This workbook is damaged and cannot be read."))
