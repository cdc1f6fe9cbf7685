"""Masked values are revealed by a POST with a permission and a reason, and the view is recorded."""

import pytest

from tasks_admin.lib.masks import MASK
from tasks_admin.models import Operation, Target
from tests.conftest import grant
from tests.support.factories import make_result
from tests.support.pages import RESULTS, page_text

SECRET = "hunter2hunter2"


@pytest.fixture
def row(db):
    return make_result(
        args=[{"password": SECRET}], kwargs={"url": f"redis://u:{SECRET}@host/0"},
        traceback=f'  File "x.py", line 1\n    login(password="{SECRET}")',
        result=f'{{"exc_type": "X", "exc_message": ["token={SECRET}"]}}',
    )  # fmt: skip


@pytest.fixture
def client(as_user, alice):
    return as_user(alice)


def reveal(client, row, **data):
    return client.post(f"{RESULTS}{row.pk}/reveal/", data)


def test_pages_and_lists_show_masks(client, row):
    for path in (RESULTS, f"{RESULTS}{row.pk}/change/"):
        page = client.get(path)

        assert SECRET not in page.content.decode()
        assert MASK in page.content.decode()


def test_exports_have_masks(client, row):
    columns = ["task_id", "args", "kwargs"]
    page = client.post(f"{RESULTS}export/", {"format": "0", "columns": columns})

    content = b"".join(page).decode()
    assert row.task_id in content
    assert SECRET not in content
    assert MASK in content


def test_the_values_are_shown_once_and_the_view_is_recorded_before(client, row, alice):
    page = reveal(client, row, reason="Ticket 7")

    assert page.status_code == 200
    assert page.content.decode().count(SECRET) == 4
    assert "no-store" in page["Cache-Control"]
    operation = Operation.objects.get()
    assert (operation.verb, operation.actor, operation.reason, operation.state) == (
        "reveal_arguments", alice, "Ticket 7", "finished",
    )  # fmt: skip
    assert Target.objects.get().subject == row.task_id
    assert SECRET not in client.get(f"{RESULTS}{row.pk}/change/").content.decode()


def test_without_a_reason_nothing_is_revealed(client, row):
    page = client.post(f"{RESULTS}{row.pk}/reveal/", {"reason": " "}, follow=True)

    assert SECRET not in page.content.decode()
    assert "This field is required" in page_text(page)
    assert not Operation.objects.exists()


def test_a_get_reveals_nothing(client, row):
    assert client.get(f"{RESULTS}{row.pk}/reveal/").status_code == 200
    page = client.get(f"{RESULTS}{row.pk}/change/?revealed=1")
    assert SECRET not in page.content.decode()


def test_without_the_permission_it_is_403(as_user, make_user, row):
    clerk = grant(make_user(is_staff=True), "tasks_admin.view_result")

    assert reveal(as_user(clerk), row, reason="r").status_code == 403
    assert not Operation.objects.exists()
    page = as_user(clerk).get(f"{RESULTS}{row.pk}/change/")
    assert "Reveal" not in page_text(page)


def test_without_the_view_permission_it_is_403(as_user, make_user, row):
    clerk = grant(make_user(is_staff=True), "tasks_admin.reveal_arguments")

    assert reveal(as_user(clerk), row, reason="r").status_code == 403


def test_a_deleted_result(client):
    assert reveal(client, type("Gone", (), {"pk": 9})(), reason="r").status_code == 403
