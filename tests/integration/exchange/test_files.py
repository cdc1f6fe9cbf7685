"""Uploaded files are checked: format, size, encoding and structure."""

import io
import re
import secrets
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tasks_admin.admin.exchange import cells, formats
from tasks_admin.admin.exchange.errors import UnreadableFile
from tests.support.user_import import confirm, refusal, upload, workbook

pytestmark = pytest.mark.django_db

UTF8 = "Save it as “CSV UTF-8”"
DAMAGED = "damaged"


def with_part(name: str, text: bytes, *, old: bytes = b"") -> bytes:
    """A workbook with one part replaced, or with `old` in it replaced, or added."""
    source = zipfile.ZipFile(io.BytesIO(workbook(["username"], ["new"])))
    parts = {member: source.read(member) for member in source.namelist()}
    parts[name] = parts[name].replace(old, text) if old else text
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target:
        for member, part in parts.items():
            target.writestr(member, part)
    return file.getvalue()


def locked(data: bytes) -> bytes:
    """An archive whose directory says that its members are encrypted."""
    return re.sub(rb"(?s)(PK\x01\x02.{4})\0", lambda found: found[1] + b"\x01", data)


@pytest.mark.parametrize(
    "data",
    [
        "\ufeffusername,first_name\r\nnew,Zoë\r\n".encode(),
        "username;first_name\nnew;Zoë\n\n\n".encode(),
        "username\tfirst_name\r\nnew\tZoë".encode(),
        'first_name,"username"\n"Zoë",new\n'.encode(),
        " username , first_name ,,\nnew,Zoë,,\n".encode(),
        "username,last_name,first_name\nnew,,Zoë\nother\n".encode(),
    ],
)
def test_csv_is_read_as_spreadsheets_write_it(data: bytes, client: Client) -> None:
    confirm(client, upload(client, data))
    assert User.objects.get(username="new").first_name == "Zoë"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("username,first_name\nnew,Zoë\n".encode("latin-1"), UTF8),
        ("username,first_name\nnew,Zoë\n".encode("utf-16"), UTF8),
        ("username,first_name\nnew,Zoe\n".encode("utf-16-le"), UTF8),
        (b"username\nne\0w\n", UTF8),
        (workbook(["username"], ["new"]), UTF8),
        (b'username,email\n"new,a@mail.example\n', "is not valid CSV"),
        (b'username\n"new"x\n', "is not valid CSV"),
        (b"username\n" + b"x" * 200_000, "is not valid CSV"),
        (b"username\nnew,more\n", "more cells than the header"),
        (b"username,username\nnew,old\n", "unique name"),
        (b"username,,email\nnew,,\n", "unique name"),
        (b"\n\nnew\n", "names of the columns"),
        (b"username\n", "contains no data"),
        (b"email\na@mail.example\n", "username is missing"),
        ((",".join(f"c{n}" for n in range(200)) + "\n1").encode(), "more than 100 columns"),
    ],
)
def test_csv_that_cannot_be_read_is_refused_with_the_reason(
    data: bytes, words: str, client: Client
) -> None:
    assert words.replace("'", "&#x27;") in refusal(upload(client, data))
    assert User.objects.count() == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"username\nnew\n", "not an XLSX workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000), "password-protected"),
        (workbook(["username"], ["new"])[:-200], "not an XLSX workbook"),
        (locked(workbook(["username"], ["new"])), "password-protected"),
        (with_part("xl/workbook.xml", b"<nonsense"), DAMAGED),
        (with_part("xl/worksheets/sheet1.xml", b"nonsense"), DAMAGED),
        (with_part("[Content_Types].xml", b"<a/>"), DAMAGED),
        (with_part("xl/workbook.xml", b"<!DOCTYPE a><workbook ", old=b"<workbook "), DAMAGED),
        (with_part("padding", bytes(1_000_000)), "unpacked size"),
        (with_part("padding", secrets.token_bytes(3_000_000) + bytes(50_000_000)), "unpacked size"),
        (with_part("padding", secrets.token_bytes(1_000_000) + b"<" * 2_000_000), "too much"),
        (workbook(["username"]), "contains no data"),
        (workbook(["username", None, "email"], ["new", None, ""]), "unique name"),
        (workbook(["username"], ["new", "more"]), "more cells than the header"),
        (workbook([f"column{n}" for n in range(200)]), "more than 100 columns"),
    ],
)  # fmt: skip
def test_workbooks_that_cannot_be_read_are_refused_with_the_reason(
    data: bytes, words: str, client: Client
) -> None:
    assert words in refusal(upload(client, data, xlsx=True))
    assert User.objects.count() == 1


def test_a_zip_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = with_part("xl/worksheets/sheet1.xml", bytes(99_000_000))
    opened: list[object] = []
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *args: opened.append(args))
    monkeypatch.setattr(formats, "load_workbook", lambda *args, **kwargs: opened.append(args))
    with pytest.raises(UnreadableFile):
        formats.Xlsx().create_dataset(bomb)
    assert not opened


def test_the_stated_size_of_a_sheet_is_ignored(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "MAX_SHEET_ROWS", 30_000)
    for stated in (b'ref="A1:XFD1048576"', b'ref="A1:A1"'):
        data = with_part("xl/worksheets/sheet1.xml", stated, old=b'ref="A1:A2"')
        confirm(client, upload(client, data, xlsx=True))
        assert User.objects.filter(username="new").count() == 1
    far = with_part("xl/worksheets/sheet1.xml", b'<row r="99999999999">', old=b'<row r="2">')
    assert DAMAGED in refusal(upload(client, far, xlsx=True))
    last = with_part("xl/worksheets/sheet1.xml", b'<row r="29000">', old=b'<row r="2">')
    assert "more than 20,000 rows" in refusal(upload(client, last, xlsx=True))


@pytest.mark.parametrize("xlsx", [False, True])
def test_too_many_rows_are_refused(xlsx: bool, client: Client, upload_dir: Path) -> None:
    names = [[f"user{number}"] for number in range(25_000)]
    lines = "\n".join(["username", *(name for [name] in names)])
    data = workbook(["username"], *names) if xlsx else lines
    assert "more than 20,000 rows" in refusal(upload(client, data, xlsx=xlsx))
    assert list(upload_dir.iterdir()) == []


def test_a_file_that_is_too_large_is_refused_unread(
    client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats.Csv, "create_dataset", None)
    monkeypatch.setattr("tasks_admin.admin.exchange.uploads.UploadStorage.save", None)
    assert "larger than" in refusal(upload(client, b"username\n" + b"new\n" * 1_250_000))
    settings.TASKS_ADMIN_IMPORT_MAX_BYTES = 12
    assert "larger than 12" in refusal(upload(client, b"username\nnew\n"))


def test_a_missing_file_or_format_is_an_error(client: Client) -> None:
    for form in ({"format": "0"}, {"format": "9", "resource": "0"}, {"resource": "7"}):
        assert b"errorlist" in client.post("/admin/auth/user/import/", form).content


def test_the_content_of_a_file_is_escaped(client: Client) -> None:
    page = upload(client, "username,first_name\n<b>x</b>,\nnew,<script>alert(1)</script>\n")
    assert b"<script>alert" not in page.content
    assert b"<b>x" not in page.content
    page = upload(client, "username,first_name\nnew,<script>alert(1)</script>\n")
    assert b"<script>alert" not in page.content
    assert b"&lt;script&gt;alert" in page.content
    assert b" style=" not in page.content


@pytest.mark.parametrize(
    "value", ["=1", "'=1", "''@", " =1", "'", "'a", "a=1", "", "\t", "１", "-"]
)
def test_escapes_can_be_undone(value: str) -> None:
    assert cells.unescape_formula(str(cells.escape_formula(value))) == value


@pytest.mark.parametrize("value", [12, -1.5, None, True])
def test_other_types_are_not_escaped(value: object) -> None:
    assert cells.escape_formula(value) is value


def test_illegal_characters_are_replaced() -> None:
    assert cells.escape_formula("a\0b\ud800\uffff") == "a\ufffdb\ufffd\ufffd"
    assert cells.escape_formula("\0=1") == "\ufffd=1"
