"""The user admin: select some or all users, review the confirmation page, and confirm."""

import re

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tasks_admin.models import Operation, Target
from tests.conftest import grant
from tests.support.factories import make_users
from tests.support.pages import USERS, confirm, hidden_fields, page_text, run_action

ACTION = "send_reset_email"


@pytest.fixture
def client(as_user, alice):
    return as_user(alice)


class TestConfirmationPage:
    """The confirmation page previews the effect and changes nothing."""

    def test_the_number_of_users_and_the_excluded_ones_by_reason(self, client, make_user):
        users = [*make_users(3), make_user("gone", is_active=False), make_user("mute", email="")]

        page = run_action(client, USERS, ACTION, users)

        assert page.status_code == 200
        text = page_text(page)
        assert "3 users will receive a password-reset email" in text
        assert "2 rows excluded" in text
        assert "Account inactive 1" in text
        assert "No email address 1" in text
        assert not Operation.objects.exists()

    def test_superusers_are_named(self, client, make_user):
        page = run_action(client, USERS, ACTION, [make_user("root", is_superuser=True)])

        assert re.search("Superusers in this selection: root", page_text(page))

    def test_excluded_superusers_are_not_named(self, as_user, bob, make_user):
        users = [make_user("root", is_superuser=True), *make_users(1)]

        page = run_action(as_user(bob), USERS, ACTION, users)

        assert "1 user will receive a password-reset email" in page_text(page)
        assert "Superusers" not in page_text(page)

    def test_no_button_if_no_user_is_eligible(self, client, make_user):
        page = run_action(client, USERS, ACTION, [make_user(is_active=False)])

        assert "Nothing to do" in page_text(page)
        assert b'name="confirm"' not in page.content

    def test_all_matching_users(self, client):
        users = make_users(150)

        page = run_action(client, f"{USERS}?q=u0", ACTION, users[:100], select_across="1")

        assert "150 users will receive a password-reset email" in page_text(page)
        assert hidden_fields(page)["select_across"] == "1"
        assert isinstance(hidden_fields(page)["_selected_action"], str), "one stands for all"

    @pytest.mark.parametrize("forged", ["false", "False", "0", ""])
    def test_other_values_of_select_across_select_the_checked_rows(self, client, forged):
        users = make_users(3)

        page = run_action(client, USERS, ACTION, users[:1], select_across=forged)

        assert hidden_fields(page)["select_across"] == "0"
        assert "1 user will" in page_text(page)

    def test_the_page_takes_few_queries(self, client):
        users = make_users(500)

        with CaptureQueriesContext(connection) as queries:
            run_action(client, USERS, ACTION, users)

        assert len(queries) <= 12, [query["sql"][:90] for query in queries]

    def test_markup_in_a_name_is_escaped(self, client, make_user):
        page = run_action(client, USERS, ACTION, [make_user("<b>root</b>", is_superuser=True)])

        assert b"<b>root" not in page.content
        assert b"&lt;b&gt;root" in page.content


class TestConfirm:
    """The operation has exactly the confirmed targets."""

    def test_the_operation_is_queued_and_its_page_is_shown(self, client, alice):
        page = run_action(client, USERS, ACTION, make_users(3))

        response = confirm(client, page, USERS)

        operation = Operation.objects.get()
        assert response.url == operation.get_absolute_url()
        assert (operation.total, operation.reason, operation.actor) == (3, "because", alice)
        assert "Queued: Send reset emails, 3 targets." in page_text(client.get(response.url))

    def test_only_eligible_users_are_targets(self, client, make_user):
        users = make_users(2)
        page = run_action(client, USERS, ACTION, [*users, make_user(is_active=False)])

        confirm(client, page, USERS)

        assert set(Target.objects.values_list("subject", flat=True)) == {
            str(user.pk) for user in users
        }
        assert Operation.objects.get().excluded == {"inactive": 1}

    def test_all_matching_users_and_no_others(self, client):
        users = make_users(150)
        make_users(5, "other")
        page = run_action(client, f"{USERS}?q=u0", ACTION, users[:1], select_across="1")

        confirm(client, page, f"{USERS}?q=u0")

        assert Operation.objects.get().total == 150

    @pytest.mark.parametrize("reason", ["", "   ", "x" * 2001])
    def test_a_reason_is_required(self, client, reason):
        page = run_action(client, USERS, ACTION, make_users(1))

        again = confirm(client, page, USERS, reason=reason)

        assert again.status_code == 200
        assert b"errorlist" in again.content
        assert not Operation.objects.exists()

    def test_a_form_submitted_twice_starts_one_operation(self, client):
        page = run_action(client, USERS, ACTION, make_users(2))

        first, second = (confirm(client, page, USERS) for _ in range(2))

        assert first.url == second.url == Operation.objects.get().get_absolute_url()

    def test_a_changed_selection_is_shown_again(self, client):
        make_users(2)
        page = run_action(client, f"{USERS}?q=u0", ACTION, User.objects.all(), select_across="1")
        make_users(1, "u0-late")

        again = confirm(client, page, f"{USERS}?q=u0")

        assert not Operation.objects.exists()
        assert "have changed since the page was shown" in page_text(again)
        assert "3 users will receive a password-reset email" in page_text(again)
        assert b"because" in again.content, "the reason is still there"
        assert confirm(client, again, f"{USERS}?q=u0").status_code == 302

    def test_another_user_confirmed_first(self, client, as_user, bob):
        users = make_users(2)
        own, other = (run_action(c, USERS, ACTION, users) for c in (client, as_user(bob)))
        confirm(as_user(bob), other, USERS)

        again = confirm(client, own, USERS)

        assert Operation.objects.count() == 1
        assert "Nothing to do" in page_text(again)
        assert "Reset email already queued 2" in page_text(again)

    def test_the_permission_is_checked_again(self, as_user, bob):
        client = as_user(bob)
        page = run_action(client, USERS, ACTION, make_users(1))
        bob.user_permissions.clear()
        grant(bob, "auth.view_user")

        confirm(client, page, USERS)

        assert not Operation.objects.exists()

    @pytest.mark.parametrize("field", ["key", "shown"])
    @pytest.mark.parametrize("forged", ["", "x", "1:" + "0" * 31, "\x00", "9" * 400])
    def test_a_forged_confirmation_is_shown_again(self, client, field, forged):
        page = run_action(client, USERS, ACTION, make_users(1))

        again = confirm(client, page, USERS, **{field: forged})

        assert again.status_code == 200
        assert "Nothing was changed" in page_text(again)
        assert not Operation.objects.exists()

    def test_a_larger_selection_than_shown_is_refused(self, client):
        users = make_users(5)
        page = run_action(client, USERS, ACTION, users[:1])

        confirm(client, page, USERS, select_across="1")

        assert not Operation.objects.exists()

    def test_five_thousand_checked_rows_are_accepted(self, client):
        users = make_users(5000)

        page = run_action(client, USERS, ACTION, users)
        assert "5,000 users will receive a password-reset email" in page_text(page)
        confirm(client, page, USERS)

        assert Operation.objects.get().total == 5000


class TestInvalidRequests:
    """Nothing is changed, and a message states why."""

    def test_no_row(self, client):
        page = client.post(USERS, {"action": ACTION, "index": "0"}, follow=True)

        assert "must be selected" in page_text(page)
        assert not Operation.objects.exists()

    @pytest.mark.parametrize("pk", ["x", "", "1.5", "9" * 30, "-1x", "\x00", "🦄", "1 OR 1=1"])
    @pytest.mark.parametrize("step", [{"index": "0"}, {"confirm": "1", "reason": "r"}])
    def test_invalid_primary_keys(self, client, pk, step):
        page = client.post(USERS, {"action": ACTION, "_selected_action": pk} | step, follow=True)

        assert page.status_code == 200
        assert "could not be read" in page_text(page)
        assert not Operation.objects.exists()

    def test_a_deleted_row(self, client):
        (user,) = make_users(1)
        User.objects.filter(pk=user.pk).delete()

        assert "Nothing to do" in page_text(run_action(client, USERS, ACTION, [user]))

    def test_an_unknown_action(self, client):
        users = make_users(1)

        assert run_action(client, USERS, "format_disk", users).status_code in {200, 302}
        assert not Operation.objects.exists()

    def test_get_performs_no_action(self, client):
        (user,) = make_users(1)

        client.get(
            USERS, {"action": ACTION, "_selected_action": user.pk, "confirm": "1", "reason": "r"}
        )

        assert not Operation.objects.exists()
