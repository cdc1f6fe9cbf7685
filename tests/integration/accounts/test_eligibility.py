"""Who may be mailed: every reason to leave somebody out, and who may not touch whom."""

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
    """What the account itself says against it."""

    def test_an_ordinary_one_is_mailed(self, make_user):
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
    def test_it_is_left_out(self, make_user, fields, expected):
        assert reason(make_user(**fields)) == expected

    @pytest.mark.parametrize("address", ["bob@x.example", "b.o+b@x.example", "o'hara@x.example"])
    def test_ordinary_addresses(self, make_user, address):
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
    def test_what_is_no_address_is_left_out_when_staff_click_already(self, make_user, address):
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
    def test_what_only_a_closer_look_tells_is_left_out_at_the_sending(self, address):
        assert not is_deliverable(address)


class TestRank:
    """Nobody resets who may do what they themselves may not."""

    def test_a_superuser_is_left_out(self, make_user, bob, alice):
        assert reason(alice, actor=bob) == "outranks"

    def test_a_superuser_may_reset_everybody(self, make_user, bob, alice):
        assert reason(bob, actor=alice) == ""
        assert reason(alice, actor=alice) == ""
        assert reason(make_user(is_superuser=True), actor=alice) == ""

    def test_who_holds_a_permission_that_the_actor_lacks_is_left_out(self, make_user, bob):
        assert reason(grant(make_user(), "auth.change_user"), actor=bob) == "outranks"

    def test_who_holds_it_through_a_group_is_left_out(self, make_user, bob):
        user = make_user()
        group = Group.objects.create(name="editors")
        group.permissions.add(Permission.objects.get(codename="change_user"))
        user.groups.add(group)

        assert reason(user, actor=bob) == "outranks"

    def test_the_same_codename_of_another_app_is_another_permission(self, make_user, bob):
        other = Permission.objects.create(
            content_type=Permission.objects.get(codename="view_group").content_type,
            codename="send_reset_email",
            name="Another one",
        )
        user = make_user()
        user.user_permissions.add(other)

        assert reason(user, actor=bob) == "outranks"

    def test_equals_may_reset_one_another(self, make_user, bob):
        user = make_user(is_staff=True)
        user.user_permissions.set(bob.user_permissions.all())

        assert reason(user, actor=bob) == ""

    def test_what_the_actor_holds_through_a_group_counts(self, make_user):
        group = Group.objects.create(name="editors")
        group.permissions.add(Permission.objects.get(codename="change_user"))
        actor = make_user()
        actor.groups.add(group)

        assert reason(grant(make_user(), "auth.change_user"), actor=actor) == ""

    def test_who_holds_less_may_be_reset(self, make_user, bob):
        assert reason(grant(make_user(is_staff=True), "auth.view_user"), actor=bob) == ""

    def test_a_suspended_actor_outranks_nobody_who_may_do_anything(self, make_user, bob):
        bob.is_active = False

        assert reason(grant(make_user(), "auth.view_user"), actor=bob) == "outranks"

    def test_rank_comes_first_so_that_nothing_else_is_told(self, make_user, bob):
        assert reason(make_user(is_superuser=True, is_active=False), actor=bob) == "outranks"

    def test_who_asks_for_themselves_outranks_nobody(self, alice):
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


class TestAgain:
    """Staff don't mail a person twice in a row."""

    @pytest.mark.parametrize(("ago", "expected"), [(50, "recent"), (70, "")])
    def test_who_was_mailed_recently_is_left_out(self, make_user, settings, ago, expected):
        settings.TASKS_ADMIN_RESET_INTERVAL = 60
        user = make_user()
        Reset.objects.create(user=user, sent_at=timezone.now() - timedelta(seconds=ago))

        assert reason(user, again=False) == expected
        assert reason(user, again=True) == ""

    def test_who_waits_for_a_mail_is_left_out(self, make_user):
        user = make_user()
        accounts.request_reset_emails(users=User.objects.filter(pk=user.pk), actor=None)

        assert reason(user, again=False) == "pending"
        assert reason(user, again=True) == ""

    @pytest.mark.parametrize("state", OUTCOMES)
    def test_who_waits_no_more_is_not(self, make_user, state):
        user = make_user()
        accounts.request_reset_emails(users=User.objects.filter(pk=user.pk), actor=None)
        Target.objects.all().settle(state)

        assert reason(user, again=False) == ""

    def test_another_users_wait_is_none_of_theirs(self, make_user):
        one, other = make_user(), make_user()
        accounts.request_reset_emails(users=User.objects.filter(pk=one.pk), actor=None)

        assert reason(other, again=False) == ""


def test_it_costs_one_query_however_many_users(make_user, bob, django_assert_num_queries):
    users = [make_user() for _ in range(30)]
    bob.get_all_permissions()

    with django_assert_num_queries(1):
        seen = list(with_exclusion_reason(User.objects.all(), actor=bob, again=False))

    assert {user.pk for user in seen} >= {user.pk for user in users}


def test_select_says_who_and_how_many_are_left_out(make_user, bob, alice):
    fine = [make_user(), make_user()]
    make_user(is_active=False), make_user(email=""), make_user(email="x")

    selection = accounts.select(User.objects.exclude(pk=bob.pk), actor=bob)

    assert isinstance(selection, Selection)
    assert selection.excluded == {"inactive": 1, "no_address": 1, "bad_address": 1, "outranks": 1}
    assert set(selection.rows) == {(str(user.pk), f"user:{user.pk}") for user in fine}
    assert selection.fingerprint().startswith("2:")


def test_select_keeps_the_filter_of_the_list_and_each_user_once(make_user, bob):
    user = make_user("carol")
    user.groups.set([Group.objects.create(name="a"), Group.objects.create(name="b")])
    make_user("dave")

    found = User.objects.filter(groups__name__in=["a", "b"], username__startswith="c")

    assert list(accounts.select(found, actor=bob).rows) == [(str(user.pk), f"user:{user.pk}")]


def test_nobody_at_all_is_no_error(bob):
    selection = accounts.select(User.objects.none(), actor=bob)

    assert selection.excluded == {}
    assert operations.Selection(rows=selection.rows, excluded={}).fingerprint().startswith("0:")
