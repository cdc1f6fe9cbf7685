"""`manage.py load_demo` adds missing sample users and leaves existing users unchanged."""

import io
from collections import Counter

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command

pytestmark = pytest.mark.django_db


def load(users: object) -> str:
    """Run the command; return its output."""
    out = io.StringIO()
    call_command("load_demo", users=users, stdout=out)
    return out.getvalue()


def demo_users() -> list[User]:
    return list(User.objects.filter(username__regex=r"^demo-\d+$").order_by("username"))


def condition(user: User) -> str:
    """Return the condition of a user; the domain if the user has none."""
    if not user.is_active:
        return "inactive"
    if not user.has_usable_password():
        return "no password"
    return user.email.partition("@")[2] or "no address"


def permissions(name: str) -> set[str]:
    return {
        permission.codename for permission in User.objects.get(username=name).user_permissions.all()
    }


def test_four_fifths_can_receive_emails_and_the_rest_have_each_other_condition():
    load(250)
    conditions = ("inactive", "no password", "no address", "refused.example", "busy.example")
    expected = {"mail.example": 200} | dict.fromkeys(conditions, 10)
    assert Counter(map(condition, demo_users())) == expected


def test_all_users_have_names_in_many_scripts():
    load(250)
    names = [user.get_full_name() for user in demo_users()]
    assert all(len(name.split()) == 2 for name in names)
    assert len(set(names)) == 13 * 16
    for letter in "ëŁ小فΕЮ":
        assert any(letter in name for name in names), letter


def test_each_run_makes_the_same_users():
    load(60)
    fields = ("username", "email", "first_name", "last_name", "is_active")
    before = [[getattr(user, field) for field in fields] for user in demo_users()]
    User.objects.all().delete()
    load(60)
    assert [[getattr(user, field) for field in fields] for user in demo_users()] == before


def test_a_second_run_adds_missing_users_and_changes_no_other():
    load(40)
    User.objects.filter(username="demo-000003").delete()
    existing = User.objects.get(username="demo-000007")
    existing.email = "moved@elsewhere.example"
    existing.set_password("their own")
    existing.save()
    assert load(50).startswith("Added 11 sample users and 0 staff users. 39 sample users and 2 ")
    existing.refresh_from_db()
    assert existing.email == "moved@elsewhere.example" and existing.check_password("their own")
    assert [user.username for user in demo_users()] == [f"demo-{n:06d}" for n in range(1, 51)]


def test_a_smaller_number_removes_no_users():
    load(30)
    assert load(10).startswith("Added 0 sample users and 0 staff users. 10 sample users and 2 ")
    assert len(demo_users()) == 30


def test_several_batches_are_added(monkeypatch):
    monkeypatch.setattr("tasks_admin.management.commands.load_demo.BATCH_SIZE", 7)
    assert load(23).startswith("Added 23 sample users")
    assert len(demo_users()) == 23


def test_zero_users_adds_only_staff():
    assert load(0).startswith("Added 0 sample users and 2 staff users. 0 sample users and 0 ")


def test_permissions_of_the_operator_and_the_viewer():
    load(0)
    views = {"view_user", "view_operation", "view_result", "view_failuregroup", "view_worker"}
    verbs = {"send_reset_email", "retry_failed", "pause", "resume", "abort"}
    assert permissions("demo-operator") == views | verbs
    assert permissions("demo-viewer") == views


def test_staff_choose_their_passwords_with_a_reset_email():
    assert "send a reset email" in load(0)
    staff = User.objects.filter(is_staff=True)
    assert len(staff) == 2
    assert all(user.has_usable_password() and user.email for user in staff)
    assert not any(user.is_superuser for user in staff)


def test_existing_staff_keep_their_password_and_permissions():
    load(0)
    user = User.objects.get(username="demo-operator")
    user.user_permissions.clear()
    user.set_password("their own")
    user.save()
    load(0)
    user.refresh_from_db()
    assert user.check_password("their own") and permissions("demo-operator") == set()


@pytest.mark.parametrize("value", [-1, 5_000_001, "many", 2.5, None])
def test_an_invalid_number_is_rejected(value):
    with pytest.raises(CommandError, match=r"--users must be a number from 0 to 5,000,000, not "):
        load(value)
    assert not User.objects.exists()


def test_a_non_integer_on_the_command_line_is_rejected():
    with pytest.raises(CommandError, match="invalid int value: 'many'"):
        call_command("load_demo", "--users=many")


def test_a_database_without_the_permissions_is_rejected_and_unchanged():
    Permission.objects.filter(codename="retry_failed").delete()
    with pytest.raises(
        CommandError, match=r"tasks_admin\.retry_failed does not exist\. Run manage\.py migr"
    ):
        load(5)
    assert not User.objects.exists()
