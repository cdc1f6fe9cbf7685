"""An import grants no permissions, and changes only users that the actor may change."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.test import Client

from tests.conftest import grant
from tests.support.user_import import confirm, refusal, upload

pytestmark = pytest.mark.django_db


@pytest.fixture
def erin(bob: User) -> User:
    """The operator who may import, add and change users, and is no superuser."""
    names = "auth.add_user", "auth.change_user", "tasks_admin.import_users"
    return grant(bob, *names, "tasks_admin.export_users")


def test_an_import_cannot_grant_permissions(client: Client, erin: User) -> None:
    client.force_login(erin)
    page = upload(client, f"id,username,is_superuser,password\n{erin.pk},bob,1,x\n")
    assert "id, is_superuser, password" in refusal(page)
    assert "Traceback" not in page.content.decode()
    assert not User.objects.get(pk=erin.pk).is_superuser


@pytest.mark.parametrize("rank", ["superuser", "permission", "group"])
def test_users_with_more_permissions_are_not_changed(
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
    assert "permissions that you do not have" in refusal(upload(client, line))
    assert "permissions that you do not have" in refusal(
        upload(client, line.replace("boss", "ｂoss"))
    )
    unchanged = upload(client, f"username,email\nboss,{boss.email}\n")
    assert "Unchanged: 1" in unchanged.content.decode()


@pytest.mark.parametrize(
    ("lacks", "words"),
    [("add", "permission to add users"), ("change", "permission to change this user")],
)
def test_rows_require_the_permissions_of_the_model(
    lacks: str, words: str, client: Client, erin: User, make_user: Any
) -> None:
    make_user("dave")
    erin.user_permissions.remove(Permission.objects.get(codename=f"{lacks}_user"))
    client.force_login(erin)
    assert words in refusal(upload(client, "username,first_name\ndave,D\nnew,N\n"))


def test_users_outside_the_list_are_not_changed(
    client: Client, make_user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_user("dave")
    mine = User.objects.exclude(username="dave")
    admin_of_users = type(admin.site.get_model_admin(User))
    monkeypatch.setattr(admin_of_users, "get_queryset", lambda *args: mine)
    assert "permission to change this user" in refusal(
        upload(client, "username,email\ndave,x@mail.example\n")
    )


def test_a_concurrent_change_of_permissions_rolls_everything_back(
    client: Client, erin: User, make_user: Any
) -> None:
    dave = make_user("dave")
    client.force_login(erin)
    page = upload(client, "username,first_name\nnew,N\ndave,D\n")
    User.objects.filter(pk=dave.pk).update(is_superuser=True)
    response = confirm(client, page)
    assert "Nothing was imported" in response.content.decode()
    assert not User.objects.filter(username="new").exists()
    assert not User.objects.filter(first_name="D").exists()
    assert LogEntry.objects.count() == 0
