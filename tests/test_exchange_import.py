"""An import is shown before it is done, is done as a whole or not at all, and promotes nobody."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.test import Client

from tasks_admin.admin.exchange import uploads
from tests.conftest import grant
from tests.exchange import PROCESS, confirm, hidden, refusal, upload, workbook

pytestmark = pytest.mark.django_db

FIELDS = ["username", "email", "first_name", "last_name"]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, settings: Any) -> Path:
    """Where the uploads lie."""
    settings.DATA_DIR = tmp_path
    return tmp_path / "imports"


@pytest.fixture
def client(alice: User) -> Client:
    """The superuser's browser."""
    browser = Client()
    browser.force_login(alice)
    return browser


@pytest.fixture
def erin(bob: User) -> User:
    """The operator who may import, add and change users, and is no superuser."""
    names = "auth.add_user", "auth.change_user", "tasks_admin.import_users"
    return grant(bob, *names, "tasks_admin.export_users")


def test_users_are_added_and_changed_after_a_confirmation(
    client: Client, make_user: Any, alice: User, place: Path
) -> None:
    dave = make_user("dave", first_name="David")
    before = dave.password
    page = upload(
        client,
        "username,email,first_name\nnew,new@mail.example,Nora\ndave,dave@mail.example,Dave\n",
    )
    text = page.content.decode()
    assert "New: 1. Changed: 1. Left as they are: 0." in text
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
    assert list(place.iterdir()) == []


def test_a_workbook_is_read_too(client: Client) -> None:
    data = workbook(["username", "last_name"], [12345, "Ωmega"], [None, None])
    confirm(client, upload(client, data, xlsx=True))
    assert User.objects.get(username="12345").last_name == "Ωmega"


def test_nobody_promotes_themselves(client: Client, erin: User) -> None:
    client.force_login(erin)
    page = upload(client, f"id,username,is_superuser,password\n{erin.pk},bob,1,x\n")
    assert "id, is_superuser, password" in refusal(page)
    assert "Traceback" not in page.content.decode()
    assert not User.objects.get(pk=erin.pk).is_superuser


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
        ("a,nonsense,,", "Not an address"),
        ("a,mıke@mail.example,,", "Not an address"),
        ("a,a@mail.example,\x07,", "control character"),
        ("a,a@mail.example,,\nA,,,\na,b@mail.example,,", "more than once"),
        ("a,a@mail.example,,\nａ,b@mail.example,,", "more than once"),
    ],
)
def test_a_bad_line_refuses_the_file(line: str, words: str, client: Client, place: Path) -> None:
    page = upload(client, f"{','.join(FIELDS)}\ngood,,,\n{line}\n")
    assert words in refusal(page)
    assert " 3 " in refusal(page)
    assert User.objects.count() == 1
    assert list(place.iterdir()) == []


def test_an_address_may_be_empty_and_is_emptied(client: Client, make_user: Any) -> None:
    make_user("dave")
    confirm(client, upload(client, "username,email\ndave,\n"))
    assert User.objects.get(username="dave").email == ""


@pytest.mark.parametrize("rank", ["superuser", "permission", "group"])
def test_who_may_do_more_is_not_touched(
    rank: str, client: Client, erin: User, make_user: Any
) -> None:
    boss = make_user("boss", is_superuser=rank == "superuser")
    extra = Permission.objects.get(codename="delete_user")
    if rank == "permission":
        boss.user_permissions.add(extra)
    if rank == "group":
        group = Group.objects.create(name="bosses")
        group.permissions.add(extra)
        boss.groups.add(group)
    client.force_login(erin)
    line = "username,email\nboss,erin@mail.example\n"
    assert "permissions that you lack" in refusal(upload(client, line))
    assert "permissions that you lack" in refusal(upload(client, line.replace("boss", "ｂoss")))
    unchanged = upload(client, f"username,email\nboss,{boss.email}\n")
    assert "Left as they are: 1" in unchanged.content.decode()


@pytest.mark.parametrize(("lacks", "words"), [("add", "may not add"), ("change", "may not change")])
def test_rows_ask_for_the_models_own_permissions(
    lacks: str, words: str, client: Client, erin: User, make_user: Any
) -> None:
    make_user("dave")
    erin.user_permissions.remove(Permission.objects.get(codename=f"{lacks}_user"))
    client.force_login(erin)
    assert words in refusal(upload(client, "username,first_name\ndave,D\nnew,N\n"))


def test_who_is_not_in_the_list_is_not_touched(
    client: Client, make_user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_user("dave")
    mine = User.objects.exclude(username="dave")
    admin_of_users = type(admin.site.get_model_admin(User))
    monkeypatch.setattr(admin_of_users, "get_queryset", lambda *args: mine)
    assert "may not change" in refusal(upload(client, "username,email\ndave,x@mail.example\n"))


def test_an_export_comes_back_as_it_was(client: Client, make_user: Any) -> None:
    names = ["=1", "'=1", "''=1", "'tis", "  +1", "-", "＝1", "it's"]
    for number, name in enumerate(names):
        make_user(f"+{number}", first_name=name)
    for form in "0", "1":
        file = client.post("/admin/auth/user/export/", {"columns": FIELDS, "format": form})
        page = upload(client, file.getvalue(), xlsx=form == "1")
        assert "New: 0. Changed: 0. Left as they are: 9." in page.content.decode()
    User.objects.update(first_name="")
    confirm(client, page)
    assert [
        user.first_name for user in User.objects.filter(email__startswith="+").order_by("pk")
    ] == names


def test_what_changed_meanwhile_rolls_everything_back(
    client: Client, erin: User, make_user: Any
) -> None:
    dave = make_user("dave")
    client.force_login(erin)
    page = upload(client, "username,first_name\nnew,N\ndave,D\n")
    User.objects.filter(pk=dave.pk).update(is_superuser=True)
    answer = confirm(client, page)
    assert "Nothing was imported" in answer.content.decode()
    assert not User.objects.filter(username="new").exists()
    assert not User.objects.filter(first_name="D").exists()
    assert LogEntry.objects.count() == 0


def test_other_columns_of_a_user_are_left_to_others(client: Client, make_user: Any) -> None:
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


def test_uploads_are_private_and_read_once(client: Client, place: Path) -> None:
    page = upload(client, "username\nnew\n")
    (kept,) = place.iterdir()
    assert oct(place.stat().st_mode)[-3:] == "700"
    assert oct(kept.stat().st_mode)[-3:] == "600"
    confirm(client, page)
    assert "can&#x27;t be confirmed any more" in confirm(client, page).content.decode()
    assert User.objects.filter(username="new").count() == 1


def test_an_upload_is_confirmed_by_who_was_shown_it(client: Client, erin: User) -> None:
    page = upload(client, "username\nnew\n")
    client.force_login(erin)
    assert "can&#x27;t be confirmed any more" in confirm(client, page).content.decode()
    assert not User.objects.filter(username="new").exists()


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../secret_key", "secret_key", "", "\0", "x" * 999]
)
def test_no_other_file_can_be_named(name: str, client: Client, place: Path) -> None:
    (place.parent / "secret_key").write_text("username\nnew\n")
    form = hidden(upload(client, "username\nnew\n"))
    for spelling in (name, name + form["import_file_name"][44:]):
        answer = client.post(PROCESS, {**form, "import_file_name": spelling}, follow=True)
        assert "can&#x27;t be confirmed any more" in answer.content.decode()
    assert (place.parent / "secret_key").exists()
    assert not User.objects.filter(username="new").exists()


@pytest.mark.parametrize(
    "change", [{"format": "1"}, {"format": "99"}, {"format": "x"}, {"resource": "9"}]
)
def test_the_form_cannot_say_what_the_file_is(change: dict[str, str], client: Client) -> None:
    form = hidden(upload(client, "username\nnew\n"))
    assert client.post(PROCESS, {**form, **change}).status_code == 302
    assert User.objects.filter(username="new").exists()


def test_what_nobody_confirmed_is_swept(client: Client, place: Path) -> None:
    page = upload(client, "username\nnew\n")
    (kept,) = place.iterdir()
    os.utime(kept, (0, time.time() - uploads.PATIENCE - 1))
    upload(client, "username,nonsense\nnew,1\n")
    assert list(place.iterdir()) == []
    assert "can&#x27;t be confirmed any more" in confirm(client, page).content.decode()


def test_a_large_import_lists_its_beginning_only(client: Client) -> None:
    names = [f"user{number}" for number in range(2_000)]
    page = upload(client, "username,email\n" + "".join(f"{n},{n}@mail.example\n" for n in names))
    assert "New: 2000." in page.content.decode()
    assert page.content.count(b"<tr") < 110
    confirm(client, page)
    assert User.objects.filter(username__startswith="user").count() == 2_000
