"""An import has a preview, and applies all rows or none."""

from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client

from tests.support.user_import import confirm, refusal, upload, workbook

pytestmark = pytest.mark.django_db

FIELDS = ["username", "email", "first_name", "last_name"]


def test_users_are_added_and_changed_after_a_confirmation(
    client: Client, make_user: Any, alice: User, upload_dir: Path
) -> None:
    dave = make_user("dave", first_name="David")
    before = dave.password
    page = upload(
        client,
        "username,email,first_name\nnew,new@mail.example,Nora\ndave,dave@mail.example,Dave\n",
    )
    text = page.content.decode()
    assert "New: 1. Changed: 1. Unchanged: 0." in text
    assert "<del>David</del> <ins>Dave</ins>" in text
    assert not User.objects.filter(username="new").exists()
    assert User.objects.get(username="dave").first_name == "David"
    assert LogEntry.objects.count() == 0
    assert confirm(client, page).status_code == 200
    new, dave = User.objects.get(username="new"), User.objects.get(username="dave")
    assert (new.first_name, new.email, dave.first_name) == ("Nora", "new@mail.example", "Dave")
    assert not new.has_usable_password()
    assert not new.is_staff
    assert dave.password == before
    assert LogEntry.objects.filter(user=alice).count() == 2
    assert list(upload_dir.iterdir()) == []


def test_a_workbook_can_be_imported(client: Client) -> None:
    data = workbook(["username", "last_name"], [12345, "Ωmega"], [None, None])
    confirm(client, upload(client, data, xlsx=True))
    assert User.objects.get(username="12345").last_name == "Ωmega"


@pytest.mark.parametrize("column", ["is_staff", "groups", "last_login", "is_active", "nonsense"])
def test_other_columns_are_refused_by_name(column: str, client: Client) -> None:
    assert column in refusal(upload(client, f"username,{column}\nalice,1\n"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("x" * 151 + ",a@mail.example,,", "150"),
        ("a,a@mail.example," + "x" * 151 + ",", "150"),
        ("a b,a@mail.example,,", "valid username"),
        (",a@mail.example,,", "cannot be blank"),
        ("a,nonsense,,", "Not a valid email address"),
        ("a,mıke@mail.example,,", "Not a valid email address"),
        ("a,a@mail.example,\x07,", "control character"),
        ("a,a@mail.example,,\nA,,,\na,b@mail.example,,", "more than once"),
        ("a,a@mail.example,,\nａ,b@mail.example,,", "more than once"),
    ],
)
def test_an_invalid_line_refuses_the_file(
    line: str, words: str, client: Client, upload_dir: Path
) -> None:
    page = upload(client, f"{','.join(FIELDS)}\ngood,,,\n{line}\n")
    assert words in refusal(page)
    assert " 3 " in refusal(page)
    assert User.objects.count() == 1
    assert list(upload_dir.iterdir()) == []


def test_an_empty_cell_clears_the_address(client: Client, make_user: Any) -> None:
    make_user("dave")
    confirm(client, upload(client, "username,email\ndave,\n"))
    assert User.objects.get(username="dave").email == ""


def test_columns_that_are_not_in_the_file_are_not_validated(client: Client, make_user: Any) -> None:
    make_user("dave", password="")
    confirm(client, upload(client, "username,first_name\ndave,D\n"))
    assert User.objects.get(username="dave").first_name == "D"


def test_unique_fields_are_checked(
    client: Client, make_user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_user("dave")
    monkeypatch.setattr(User._meta.get_field("email"), "unique", True)
    assert "already exists" in refusal(upload(client, "username,email\na,dave@mail.example\n"))
    same = "username,email\na,a@mail.example\nb,a@mail.example\n"
    assert "more than once" in refusal(upload(client, same))


def test_an_export_can_be_imported_without_changes(client: Client, make_user: Any) -> None:
    names = ["=1", "'=1", "''=1", "'tis", "  +1", "-", "＝1", "it's"]
    for number, name in enumerate(names):
        make_user(f"+{number}", first_name=name)
    for form in "0", "1":
        file = client.post("/admin/auth/user/export/", {"columns": FIELDS, "format": form})
        page = upload(client, file.getvalue(), xlsx=form == "1")
        assert "New: 0. Changed: 0. Unchanged: 9." in page.content.decode()
    User.objects.update(first_name="")
    confirm(client, page)
    assert [
        user.first_name for user in User.objects.filter(email__startswith="+").order_by("pk")
    ] == names


def test_columns_that_are_not_in_the_file_keep_concurrent_changes(
    client: Client, make_user: Any
) -> None:
    dave = make_user("dave", last_name="X")
    original = User.save

    def changed_meanwhile(user: User, **kwargs: Any) -> None:
        User.objects.filter(pk=dave.pk).update(password="theirs", last_name="theirs")
        original(user, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(User, "save", changed_meanwhile)
        confirm(client, upload(client, "username,first_name\ndave,D\n"))
    dave.refresh_from_db()
    assert (dave.first_name, dave.last_name, dave.password) == ("D", "theirs", "theirs")


def test_the_preview_of_a_large_import_is_limited(client: Client) -> None:
    names = [f"user{number}" for number in range(2_000)]
    page = upload(client, "username,email\n" + "".join(f"{n},{n}@mail.example\n" for n in names))
    assert "New: 2,000." in page.content.decode()
    assert page.content.count(b"<tr") < 130
    confirm(client, page)
    assert User.objects.filter(username__startswith="user").count() == 2_000
