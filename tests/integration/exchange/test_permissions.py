"""Each way in and out asks for its own permission, and an export holds what it may, no more."""

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
PLACES = [
    f"{USERS}export/",
    f"{USERS}import/",
    f"{USERS}process_import/",
    f"{RESULTS}export/",
    f"{OPERATIONS}export/",
]
NAMES = "export_users", "import_users", "import_users", "export_results", "export_operations"
PERMISSIONS = dict(zip(PLACES, NAMES, strict=True))


def columns_of(page: Any) -> list[str]:
    return re.findall(r'name="columns" value="(\w+)"', page.content.decode())


def exported(client: Client, place: str, columns: list[str], **chosen: str) -> list[list[Any]]:
    """Export as CSV, or with format="1" as XLSX, and read the file back."""
    answer = client.post(place, {**CSV, "columns": columns, **chosen})
    assert answer.status_code == 200, answer
    assert "attachment" in answer.headers.get("Content-Disposition", ""), answer.content.decode()
    data = answer.getvalue()
    if chosen.get("format") == "1":
        return [list(row) for row in load_workbook(io.BytesIO(data)).active.values]
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


@pytest.mark.parametrize("who", ["mallory", "charlie", "bob"])
@pytest.mark.parametrize("place", PLACES)
def test_no_door_opens_without_its_permission(
    place: str, who: str, request: pytest.FixtureRequest, client: Client
) -> None:
    client.force_login(request.getfixturevalue(who))
    for answer in (client.get(place), client.post(place), client.post(place, CSV)):
        assert answer.status_code == 403


@pytest.mark.parametrize("place", PLACES)
def test_each_permission_opens_its_own_door_only(place: str, mallory: User, client: Client) -> None:
    client.force_login(grant(mallory, f"tasks_admin.{PERMISSIONS[place]}"))
    for other in PLACES:
        opens = PERMISSIONS[other] == PERMISSIONS[place]
        assert (client.get(other).status_code != 403) is opens, other


def test_who_is_no_staff_is_sent_to_the_login(make_user: Any, client: Client) -> None:
    client.force_login(make_user("eve"))
    for place in PLACES:
        assert client.get(place).status_code == 302


def test_buttons_are_shown_to_those_who_may_press_them(
    bob: User, client: Client, charlie: User
) -> None:
    client.force_login(grant(charlie, *(f"tasks_admin.{name}" for name in NAMES)))
    for place in (USERS, RESULTS, OPERATIONS):
        assert f'"{place}export/?"' in client.get(place).content.decode()
    assert f"{USERS}import/" in client.get(USERS).content.decode()
    client.force_login(bob)
    for place in (USERS, RESULTS, OPERATIONS):
        assert b"port_link" not in client.get(place).content


@pytest.mark.parametrize("place", [f"{USERS}export/", f"{USERS}import/", f"{RESULTS}export/"])
def test_pages_obey_the_content_security_policy(place: str, client: Client) -> None:
    page = client.get(place).content.decode()
    assert not re.search(r"\sstyle=|<style|\son\w+=|<script(?![^>]*\ssrc=)", page)


def test_users_are_exported_without_secrets_and_ranks(client: Client, make_user: Any) -> None:
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
def test_columns_that_are_not_offered_are_refused(column: str, client: Client) -> None:
    answer = client.post(f"{USERS}export/", {**CSV, "columns": ["username", column]})
    assert "Content-Disposition" not in answer.headers
    assert "Select a valid choice" in answer.content.decode()


def test_nothing_chosen_or_a_strange_format_is_said(client: Client) -> None:
    for chosen in ({"format": "0"}, {"format": "7", "columns": "email"}, {"columns": "email"}):
        answer = client.post(f"{USERS}export/", chosen)
        assert answer.status_code == 200
        assert b"errorlist" in answer.content


def test_an_export_has_the_rows_of_the_list(client: Client, make_user: Any, alice: User) -> None:
    make_user("frank", is_active=False)
    rows = exported(client, f"{USERS}export/?is_active__exact=0", ["username"])
    assert rows == [["username"], ["frank"]]
    answer = client.post(f"{USERS}export/?is_active__exact=zz", {**CSV, "columns": "username"})
    assert answer.headers["Location"] == USERS
    assert client.get(f"{USERS}export/?password__startswith=m").status_code == 400


@pytest.mark.parametrize("form", ["0", "1"])
@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\n", "＝", "＋", "－", "＠"])
def test_formulas_are_put_behind_an_apostrophe(
    start: str, form: str, client: Client, make_user: Any
) -> None:
    make_user("grace", first_name=f"{start}1+1", last_name=f"  {start}1")
    _, row = exported(client, f"{USERS}export/?q=grace", ["first_name", "last_name"], format=form)
    assert row == [f"'{start}1+1", f"'  {start}1"]


@pytest.mark.parametrize("form", ["0", "1"])
def test_what_a_workbook_cannot_hold_is_replaced(form: str, client: Client) -> None:
    Result.objects.create(task_id="1", task_args="a\x01b\x1f", task_kwargs="x" * 40_000)
    columns = ["task_args", "task_kwargs"]
    _, row = exported(client, f"{RESULTS}export/", columns, format=form)
    assert row[0] == "a\ufffdb\ufffd"
    assert len(row[1]) == (40_000 if form == "0" else 32_767)
    assert ("cut" in row[1]) is (form == "1")


def test_results_are_exported_without_what_they_returned(client: Client) -> None:
    secret = {"result": '"secret"', "traceback": "secret"}
    Result.objects.create(task_id="1", status="FAILURE", task_args="[=1]", **secret)
    Result.objects.create(task_id="2", status="STARTED", worker="=w", **secret)
    columns = columns_of(client.get(f"{RESULTS}export/"))
    assert columns == [
        "task_id", "status", "task_name", "worker", "queued", "date_started", "date_done",
        "task_args", "task_kwargs",
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
    over = {"finished_at": timezone.now(), "outcome_counts": {"done": 3}}
    Operation.objects.create(verb="retry_failed", actor_name="=bob", total=3, **over)
    Operation.objects.create(verb="send_reset_email", reason="-phished")
    header, running, ended = exported(
        client, f"{OPERATIONS}export/", columns_of(client.get(f"{OPERATIONS}export/"))
    )
    assert header[:8] == [
        "id", "verb", "state", "actor_name", "reason", "total", "created_at", "finished_at",
    ]  # fmt: skip
    first, second = (dict(zip(header, row, strict=True)) for row in (running, ended))
    assert (first["reason"], first["done"]) == ("'-phished", "0")
    assert (second["actor_name"], second["done"]) == ("'=bob", "3")


def test_a_workbook_is_bounded_and_says_so(
    client: Client, make_user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_user(), make_user()
    small = writers.Writer(name="xlsx", cells=writers.Cells.NATIVE, respond=writers.as_xlsx, most=2)
    monkeypatch.setattr("tasks_admin.admin.exchange.exporting.WRITERS", [writers.WRITERS[0], small])
    answer = client.post(f"{USERS}export/", {**XLSX, "columns": "username"})
    assert "at most 2 rows" in answer.content.decode()
    assert len(exported(client, f"{USERS}export/", ["username"])) == 4
