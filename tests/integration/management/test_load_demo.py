"""`manage.py load_demo` adds what is missing and touches nobody who is there."""

import io
from collections import Counter

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command

pytestmark = pytest.mark.django_db


def load(users: object) -> str:
    """Run the command; return what it printed."""
    out = io.StringIO()
    call_command("load_demo", users=users, stdout=out)
    return out.getvalue()


def demo_users() -> list[User]:
    return list(User.objects.filter(username__regex=r"^demo-\d+$").order_by("username"))


def condition(user: User) -> str:
    """What is the matter with a user; the domain when nothing is."""
    if not user.is_active:
        return "inactive"
    if not user.has_usable_password():
        return "no password"
    return user.email.partition("@")[2] or "no address"


def rights(name: str) -> set[str]:
    return {right.codename for right in User.objects.get(username=name).user_permissions.all()}


def test_four_of_five_are_in_good_order_and_the_rest_in_every_other_condition():
    load(250)
    odd = ("inactive", "no password", "no address", "refused.example", "busy.example")
    expected = {"mail.example": 200} | dict.fromkeys(odd, 10)
    assert Counter(map(condition, demo_users())) == expected


def test_names_are_in_many_scripts_and_everybody_has_one():
    load(250)
    names = [user.get_full_name() for user in demo_users()]
    assert all(len(name.split()) == 2 for name in names)
    assert len(set(names)) == 13 * 16
    for letter in "ëŁ小فΕЮ":
        assert any(letter in name for name in names), letter


def test_it_makes_the_very_same_users_everywhere():
    load(60)
    fields = ("username", "email", "first_name", "last_name", "is_active")
    before = [[getattr(user, field) for field in fields] for user in demo_users()]
    User.objects.all().delete()
    load(60)
    assert [[getattr(user, field) for field in fields] for user in demo_users()] == before


def test_a_second_run_adds_only_what_is_missing_and_resets_nothing():
    load(40)
    User.objects.filter(username="demo-000003").delete()
    kept = User.objects.get(username="demo-000007")
    kept.email = "moved@elsewhere.example"
    kept.set_password("their own")
    kept.save()
    assert load(50).startswith("Added 11 sample users and 0 staff accounts; 39 and 2 were there")
    kept.refresh_from_db()
    assert kept.email == "moved@elsewhere.example" and kept.check_password("their own")
    assert [user.username for user in demo_users()] == [f"demo-{n:06d}" for n in range(1, 51)]


def test_fewer_than_before_removes_nobody():
    load(30)
    assert load(10).startswith("Added 0 sample users and 0 staff accounts; 10 and 2 were there")
    assert len(demo_users()) == 30


def test_more_than_one_batch_is_added_whole(monkeypatch):
    monkeypatch.setattr("tasks_admin.management.commands.load_demo.BATCH", 7)
    assert load(23).startswith("Added 23 sample users")
    assert len(demo_users()) == 23


def test_none_is_a_number_of_users_too():
    assert load(0).startswith("Added 0 sample users and 2 staff accounts; 0 and 0 were there")


def test_the_operator_may_act_and_the_viewer_may_only_look():
    load(0)
    views = {"view_user", "view_operation", "view_result", "view_cause", "view_worker"}
    verbs = {"send_reset_email", "retry_failed", "pause", "resume", "abort"}
    assert rights("demo-operator") == views | verbs
    assert rights("demo-viewer") == views


def test_demo_staff_choose_their_passwords_by_mail():
    assert "send a reset email" in load(0)
    staff = User.objects.filter(is_staff=True)
    assert len(staff) == 2
    assert all(person.has_usable_password() and person.email for person in staff)
    assert not any(person.is_superuser for person in staff)


def test_staff_who_are_there_keep_their_password_and_rights():
    load(0)
    person = User.objects.get(username="demo-operator")
    person.user_permissions.clear()
    person.set_password("their own")
    person.save()
    load(0)
    person.refresh_from_db()
    assert person.check_password("their own") and rights("demo-operator") == set()


@pytest.mark.parametrize("nonsense", [-1, 5_000_001, "many", 2.5, None])
def test_a_number_that_makes_no_sense_is_refused(nonsense):
    with pytest.raises(CommandError, match=r"--users is .* must be a number from 0 to 5000000"):
        load(nonsense)
    assert not User.objects.exists()


def test_a_word_on_the_command_line_is_refused():
    with pytest.raises(CommandError, match="invalid int value: 'many'"):
        call_command("load_demo", "--users=many")


def test_a_database_that_lacks_a_permission_is_refused_and_left_alone():
    Permission.objects.filter(codename="retry_failed").delete()
    with pytest.raises(CommandError, match=r"tasks_admin\.retry_failed yet\. Run manage\.py migr"):
        load(5)
    assert not User.objects.exists()
