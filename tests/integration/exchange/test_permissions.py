"""Import and export require permissions of their own, and export the listed columns only."""

import csv
import io
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from openpyxl import load_workbook

from tasks_admin.admin.exchange import writers
from tasks_admin.models import Operation, Result
from tests.conftest import grant

pytestmark = pytest.mark.django_db

USERS = "/admin/auth/user/"
RESULTS = "/admin/tasks_admin/result/"
OPERATIONS = "/admin/tasks_admin/operation/"
CSV, XLSX = {"format": "0"}, {"format": "1"}
URLS = [
    f"{USERS}export/",
    f"{USERS}import/",
    f"{USERS}process_import/",
    f"{RESULTS}export/",
    f"{OPERATIONS}export/",
]
NAMES = "export_users", "import_users", "import_users", "export_results", "export_operations"
PERMISSIONS = dict(zip(URLS, NAMES, strict=True))


def columns_of(page: Any) -> list[str]:
    return re.findall(r'name="columns" value="(\w+)"', page.content.decode())


def exported(client: Client, url: str, columns: list[str], **options: str) -> list[list[Any]]:
    """Export as CSV, or with format="1" as XLSX, and read the file back."""
    response = client.post(url, {**CSV, "columns": columns, **options})
    assert response.status_code == 200, response
    disposition = response.headers.get("Content-Disposition", "")
    assert "attachment" in disposition, response.content.decode()
    data = response.getvalue()
    if options.get("format") == "1":
        return [list(row) for row in load_workbook(io.BytesIO(data)).active.values]
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


@pytest.mark.parametrize("user", ["mallory", "charlie", "bob"])
@pytest.mark.parametrize("url", URLS)
def test_every_url_requires_its_permission(
    url: str, user: str, request: pytest.FixtureRequest, client: Client
) -> None:
    client.force_login(request.getfixturevalue(user))
    for response in (client.get(url), client.post(url), client.post(url, CSV)):
        assert response.status_code == 403


@pytest.mark.parametrize("url", URLS)
def test_each_permission_allows_its_own_url_only(url: str, mallory: User, client: Client) -> None:
    client.force_login(grant(mallory, f"tasks_admin.{PERMISSIONS[url]}"))
    for other in URLS:
        allowed = PERMISSIONS[other] == PERMISSIONS[url]
        assert (client.get(other).status_code != 403) is allowed, other


def test_other_users_are_redirected_to_the_login(make_user: Any, client: Client) -> None:
    client.force_login(make_user("eve"))
    for url in URLS:
        assert client.get(url).status_code == 302


def test_buttons_require_the_permissions(bob: User, client: Client, charlie: User) -> None:
    client.force_login(grant(charlie, *(f"tasks_admin.{name}" for name in NAMES)))
    for url in (USERS, RESULTS, OPERATIONS):
        assert f'"{url}export/?"' in client.get(url).content.decode()
    assert f"{USERS}import/" in client.get(USERS).content.decode()
    client.force_login(bob)
    for url in (USERS, RESULTS, OPERATIONS):
        assert b"port_link" not in client.get(url).content


@pytest.mark.parametrize("url", [f"{USERS}export/", f"{USERS}import/", f"{RESULTS}export/"])
def test_pages_comply_with_the_content_security_policy(url: str, client: Client) -> None:
    page = client.get(url).content.decode()
    assert not re.search(r"\sstyle=|<style|\son\w+=|<script(?![^>]*\ssrc=)", page)


def test_users_are_exported_without_passwords_and_permissions(
    client: Client, make_user: Any
) -> None:
    make_user("dave", first_name="Dave", last_login=timezone.now())
    columns = columns_of(client.get(f"{USERS}export/"))
    assert columns == [
        "username", "email", "first_name", "last_name", "is_active", "date_joined",
    ]  # fmt: skip
    header, row = exported(client, f"{USERS}export/?q=dave", columns)
    assert header == columns
    assert row[:5] == ["dave", "dave@mail.example", "Dave", "", "1"]
    assert row[5][:10] == str(timezone.now())[:10]


@pytest.mark.parametrize(
    "column", ["password", "is_superuser", "is_staff", "groups", "user_permissions", "last_login"]
)
def test_other_columns_are_refused(column: str, client: Client) -> None:
    response = client.post(f"{USERS}export/", {**CSV, "columns": ["username", column]})
    assert "Content-Disposition" not in response.headers
    assert "Select a valid choice" in response.content.decode()


def test_missing_columns_and_unknown_formats_are_errors(client: Client) -> None:
    for data in ({"format": "0"}, {"format": "7", "columns": "email"}, {"columns": "email"}):
        response = client.post(f"{USERS}export/", data)
        assert response.status_code == 200
        assert b"errorlist" in response.content


def test_an_export_has_the_rows_of_the_list(client: Client, make_user: Any, alice: User) -> None:
    make_user("frank", is_active=False)
    rows = exported(client, f"{USERS}export/?is_active__exact=0", ["username"])
    assert rows == [["username"], ["frank"]]
    response = client.post(f"{USERS}export/?is_active__exact=zz", {**CSV, "columns": "username"})
    assert response.headers["Location"] == USERS
    assert client.get(f"{USERS}export/?password__startswith=m").status_code == 400


@pytest.mark.parametrize("form", ["0", "1"])
@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\n", "＝", "＋", "－", "＠"])
def test_formulas_are_prefixed_with_an_apostrophe(
    start: str, form: str, client: Client, make_user: Any
) -> None:
    make_user("grace", first_name=f"{start}1+1", last_name=f"  {start}1")
    _, row = exported(client, f"{USERS}export/?q=grace", ["first_name", "last_name"], format=form)
    assert row == [f"'{start}1+1", f"'  {start}1"]


@pytest.mark.parametrize("form", ["0", "1"])
def test_illegal_characters_and_long_texts_in_workbooks(form: str, client: Client) -> None:
    Result.objects.create(task_id="1", task_args="a\x01b\x1f", task_kwargs="x" * 40_000)
    columns = ["args", "kwargs"]
    _, row = exported(client, f"{RESULTS}export/", columns, format=form)
    assert row[0] == "a\ufffdb\ufffd"
    assert len(row[1]) == (40_000 if form == "0" else 32_767)
    assert ("truncated" in row[1]) is (form == "1")


def test_results_are_exported_without_return_values_and_tracebacks(client: Client) -> None:
    secret = {"result": '"secret"', "traceback": "secret"}
    Result.objects.create(task_id="1", status="FAILURE", task_args="[=1]", **secret)
    Result.objects.create(task_id="2", status="STARTED", worker="=w", **secret)
    columns = columns_of(client.get(f"{RESULTS}export/"))
    assert columns == [
        "task_id", "status", "task", "worker", "queued", "started", "finished", "args", "kwargs",
    ]  # fmt: skip
    header, *rows = exported(client, f"{RESULTS}export/", columns)
    assert header == columns
    assert [row[0] for row in rows] == ["2", "1"]
    assert "secret" not in str(rows)
    assert rows[0][3] == "'=w"
    assert rows[0][6] == ""
    assert rows[1][6] != ""
    assert len(exported(client, f"{RESULTS}export/?status=STARTED", columns)) == 2


def test_operations_are_exported_with_their_counts(client: Client) -> None:
    finished = {"finished_at": timezone.now(), "outcome_counts": {"done": 3}}
    Operation.objects.create(verb="retry_failed", actor_name="=bob", total=3, **finished)
    Operation.objects.create(verb="send_reset_email", reason="-phished")
    header, running, done = exported(
        client, f"{OPERATIONS}export/", columns_of(client.get(f"{OPERATIONS}export/"))
    )
    assert header[:8] == [
        "id", "verb", "state", "actor_name", "reason", "total", "created_at", "finished_at",
    ]  # fmt: skip
    first, second = (dict(zip(header, row, strict=True)) for row in (running, done))
    assert (first["reason"], first["done"]) == ("'-phished", "0")
    assert (second["actor_name"], second["done"]) == ("'=bob", "3")


def test_the_rows_of_a_workbook_are_limited(
    client: Client, make_user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_user(), make_user()
    small = writers.Writer(
        name="xlsx", cells=writers.Cells.NATIVE, respond=writers.as_xlsx, max_rows=2
    )
    monkeypatch.setattr("tasks_admin.admin.exchange.exporting.WRITERS", [writers.WRITERS[0], small])
    response = client.post(f"{USERS}export/", {**XLSX, "columns": "username"})
    assert "limited to 2 rows" in response.content.decode()
    assert len(exported(client, f"{USERS}export/", ["username"])) == 4
