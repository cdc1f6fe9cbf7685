"""Eligibility for a reset email: each reason for an exclusion."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.utils import timezone

from tasks_admin import accounts, operations
from tasks_admin.accounts.eligibility import with_exclusion_reason
from tasks_admin.integrations.mail.addresses import is_deliverable
from tasks_admin.models import Reset, Target
from tasks_admin.models.targets import OUTCOMES
from tasks_admin.operations import Selection
from tests.conftest import grant


def reason(user, *, actor=None, again=True):
    return (
        with_exclusion_reason(User.objects.filter(pk=user.pk), actor=actor, again=again)
        .get()
        .exclusion_reason
    )


class TestAccount:
    """Reasons in the account itself."""

    def test_an_ordinary_account_is_eligible(self, make_user):
        assert reason(make_user()) == ""

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"is_active": False}, "inactive"),
            ({"email": ""}, "no_address"),
            ({"password": ""}, "no_password"),
            ({"password": "!signs in elsewhere"}, "no_password"),
            ({"is_active": False, "email": ""}, "inactive"),
        ],
    )
    def test_an_account_is_excluded(self, make_user, fields, expected):
        assert reason(make_user(**fields)) == expected

    @pytest.mark.parametrize("address", ["bob@x.example", "b.o+b@x.example", "o'hara@x.example"])
    def test_valid_addresses(self, make_user, address):
        assert reason(make_user(email=address)) == ""
        assert is_deliverable(address)

    @pytest.mark.parametrize(
        "address",
        [
            "bob",
            "bob@",
            "@x.example",
            "a@b@x.example",
            "bob@x.example\n",
            "bob@x.example\nBcc: eve@x.example",
            "bob\n@x.example",
            " bob@x.example",
            "bob smith@x.example",
            "mıke@x.example",
            "bob@x.example, eve@x.example",
        ],
    )
    def test_invalid_addresses_are_excluded_at_confirmation(self, make_user, address):
        assert reason(make_user(email=address)) == "bad_address"
        assert not is_deliverable(address)

    @pytest.mark.parametrize(
        "address",
        [
            "bob@x",
            "bob@-x.example",
            "bob@x..example",
            "bob@x.example\x00",
            "a@b.c\u2028x",
            f"{'b' * 400}@x.example",
            "<bob@x.example>",
            "bob@\ud800.example",
            "",
            "@",
        ],
    )
    def test_further_undeliverable_addresses_are_excluded_before_sending(self, address):
        assert not is_deliverable(address)


class TestPrivileges:
    """Staff cannot reset users with permissions that they lack themselves."""

    def test_a_superuser_is_excluded(self, make_user, bob, alice):
        assert reason(alice, actor=bob) == "outranks"

    def test_a_superuser_can_reset_all_users(self, make_user, bob, alice):
        assert reason(bob, actor=alice) == ""
        assert reason(alice, actor=alice) == ""
        assert reason(make_user(is_superuser=True), actor=alice) == ""

    def test_a_user_with_a_permission_that_the_actor_lacks_is_excluded(self, make_user, bob):
        assert reason(grant(make_user(), "auth.change_user"), actor=bob) == "outranks"

    def test_a_user_with_such_a_permission_through_a_group_is_excluded(self, make_user, bob):
        user = make_user()
        group = Group.objects.create(name="editors")
        group.permissions.add(Permission.objects.get(codename="change_user"))
        user.groups.add(group)

        assert reason(user, actor=bob) == "outranks"

    def test_permissions_of_two_apps_with_the_same_codename_differ(self, make_user, bob):
        other = Permission.objects.create(
            content_type=Permission.objects.get(codename="view_group").content_type,
            codename="send_reset_email",
            name="Another one",
        )
        user = make_user()
        user.user_permissions.add(other)

        assert reason(user, actor=bob) == "outranks"

    def test_users_with_equal_permissions_are_eligible(self, make_user, bob):
        user = make_user(is_staff=True)
        user.user_permissions.set(bob.user_permissions.all())

        assert reason(user, actor=bob) == ""

    def test_the_permissions_of_the_actors_groups_count(self, make_user):
        group = Group.objects.create(name="editors")
        group.permissions.add(Permission.objects.get(codename="change_user"))
        actor = make_user()
        actor.groups.add(group)

        assert reason(grant(make_user(), "auth.change_user"), actor=actor) == ""

    def test_a_user_with_fewer_permissions_is_eligible(self, make_user, bob):
        assert reason(grant(make_user(is_staff=True), "auth.view_user"), actor=bob) == ""

    def test_an_inactive_actor_has_no_permissions(self, make_user, bob):
        bob.is_active = False

        assert reason(grant(make_user(), "auth.view_user"), actor=bob) == "outranks"

    def test_privileges_are_the_first_reason_and_hide_all_others(self, make_user, bob):
        assert reason(make_user(is_superuser=True, is_active=False), actor=bob) == "outranks"

    def test_privileges_do_not_matter_without_an_actor(self, alice):
        assert reason(alice, actor=None) == ""

    def test_an_actor_with_thousands_of_permissions(self, make_user, bob):
        content_type = Permission.objects.first().content_type
        many = Permission.objects.bulk_create(
            Permission(content_type=content_type, codename=f"p{n}", name="p") for n in range(2000)
        )
        bob.user_permissions.add(*many)
        user = make_user()
        user.user_permissions.add(*many)

        assert reason(user, actor=User.objects.get(pk=bob.pk)) == ""


class TestRepetition:
    """Staff cannot send a second email within `RESET_INTERVAL`."""

    @pytest.mark.parametrize(("ago", "expected"), [(1800, "recent"), (5400, "")])
    def test_a_recent_email_excludes_the_user(self, make_user, settings, ago, expected):
        settings.TASKS_ADMIN_RESET_INTERVAL = 3600
        user = make_user()
        Reset.objects.create(user=user, sent_at=timezone.now() - timedelta(seconds=ago))

        assert reason(user, again=False) == expected
        assert reason(user, again=True) == ""

    def test_a_pending_email_excludes_the_user(self, make_user):
        user = make_user()
        accounts.request_reset_emails(users=User.objects.filter(pk=user.pk), actor=None)

        assert reason(user, again=False) == "pending"
        assert reason(user, again=True) == ""

    @pytest.mark.parametrize("state", OUTCOMES)
    def test_a_finished_target_does_not_exclude_the_user(self, make_user, state):
        user = make_user()
        accounts.request_reset_emails(users=User.objects.filter(pk=user.pk), actor=None)
        Target.objects.all().settle(state)

        assert reason(user, again=False) == ""

    def test_a_pending_email_to_another_user_does_not_matter(self, make_user):
        one, other = make_user(), make_user()
        accounts.request_reset_emails(users=User.objects.filter(pk=one.pk), actor=None)

        assert reason(other, again=False) == ""


def test_any_number_of_users_takes_one_query(make_user, bob, django_assert_num_queries):
    users = [make_user() for _ in range(30)]
    bob.get_all_permissions()

    with django_assert_num_queries(1):
        annotated = list(with_exclusion_reason(User.objects.all(), actor=bob, again=False))

    assert {user.pk for user in annotated} >= {user.pk for user in users}


def test_select_returns_the_eligible_users_and_the_excluded_counts(make_user, bob, alice):
    eligible = [make_user(), make_user()]
    make_user(is_active=False), make_user(email=""), make_user(email="x")

    selection = accounts.select(User.objects.exclude(pk=bob.pk), actor=bob)

    assert isinstance(selection, Selection)
    assert selection.excluded == {"inactive": 1, "no_address": 1, "bad_address": 1, "outranks": 1}
    assert set(selection.rows) == {(str(user.pk), f"user:{user.pk}") for user in eligible}
    assert selection.fingerprint().startswith("2:")


def test_select_keeps_the_filters_and_returns_each_user_once(make_user, bob):
    user = make_user("carol")
    user.groups.set([Group.objects.create(name="a"), Group.objects.create(name="b")])
    make_user("dave")

    found = User.objects.filter(groups__name__in=["a", "b"], username__startswith="c")

    assert list(accounts.select(found, actor=bob).rows) == [(str(user.pk), f"user:{user.pk}")]


def test_an_empty_selection_is_not_an_error(bob):
    selection = accounts.select(User.objects.none(), actor=bob)

    assert selection.excluded == {}
    assert operations.Selection(rows=selection.rows, excluded={}).fingerprint().startswith("0:")
