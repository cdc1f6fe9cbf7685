"""An import promotes nobody, and touches nobody whom the actor may not touch."""

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


def test_nobody_promotes_themselves(client: Client, erin: User) -> None:
    client.force_login(erin)
    page = upload(client, f"id,username,is_superuser,password\n{erin.pk},bob,1,x\n")
    assert "id, is_superuser, password" in refusal(page)
    assert "Traceback" not in page.content.decode()
    assert not User.objects.get(pk=erin.pk).is_superuser


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
