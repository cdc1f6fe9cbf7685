"""Set a password: a link works once, for the first request, and only for its account."""

import time

import pytest
from django.contrib.auth.models import User
from django.test import override_settings

from tasks_admin import accounts
from tasks_admin.accounts import passwords, tokens
from tasks_admin.lib.errors import LinkExpired, LinkInvalid, LinkUsed
from tasks_admin.models import Operation, Reset
from tests.support.factories import run_concurrently
from tests.support.reset_emails import (
    latest_token,
    make_token,
    publish_and_claim,
    request_email,
    send_email_to,
)

NEW = "a new passphrase"


@pytest.fixture
def ann(make_user):
    return make_user("ann")


def password_of(user):
    return User.objects.get(pk=user.pk).password


class TestOneUse:
    """The transaction that sets the password also uses up the link."""

    def test_the_password_is_set(self, ann):
        accounts.set_password(token=make_token(ann), password=NEW)

        assert User.objects.get(pk=ann.pk).check_password(NEW)

    def test_the_second_use_is_refused(self, ann):
        token = make_token(ann)
        accounts.set_password(token=token, password=NEW)
        before = password_of(ann)

        with pytest.raises(LinkUsed):
            accounts.set_password(token=token, password="another passphrase")

        assert password_of(ann) == before

    @pytest.mark.parametrize("spelling", ["{}=", "{}=="])
    def test_an_equivalent_encoding_of_a_used_token_is_refused(self, ann, spelling):
        token = make_token(ann)
        accounts.set_password(token=token, password=NEW)

        with pytest.raises(LinkUsed):
            accounts.set_password(token=spelling.format(token), password="another passphrase")

    def test_the_link_is_used_up_even_if_the_hash_does_not_change(self, ann, monkeypatch):
        """Without a new salt, the hash would not show that the link was used."""
        token = make_token(ann)
        monkeypatch.setattr(passwords, "make_password", lambda password: ann.password)
        accounts.set_password(token=token, password="old password")

        with pytest.raises(LinkUsed):
            accounts.set_password(token=token, password="old password")

    @pytest.mark.django_db(transaction=True)
    def test_one_of_twenty_concurrent_uses_succeeds(self, ann):
        token = make_token(ann)

        outcomes = run_concurrently(
            20, lambda n: accounts.set_password(token=token, password=f"passphrase {n}")
        )

        winners = [n for n, outcome in enumerate(outcomes) if outcome is None]
        assert len(winners) == 1
        assert {type(outcome) for outcome in outcomes} == {type(None), LinkUsed}
        assert User.objects.get(pk=ann.pk).check_password(f"passphrase {winners[0]}")
        assert Operation.objects.filter(verb="notify_password_changed").count() == 1


class TestInvalidLinks:
    """Nothing changes, and the error reveals nothing about the account."""

    def test_opening_a_link_does_not_use_it_up(self, ann):
        token = make_token(ann)

        for _ in range(3):
            assert accounts.user_of_link(token) == ann

        accounts.set_password(token=token, password=NEW)

    def test_an_expired_link(self, ann, monkeypatch):
        token, now = make_token(ann), time.time()
        monkeypatch.setattr(time, "time", lambda: now + 3602)

        for act in (
            accounts.user_of_link,
            lambda token: accounts.set_password(token=token, password=NEW),
        ):
            with pytest.raises(LinkExpired):
                act(token)

    @pytest.mark.parametrize(
        "change", [{"is_active": False}, {"email": "eve@x.example"}, {"password": "another"}]
    )
    def test_a_changed_account(self, ann, change):
        token = make_token(ann)
        User.objects.filter(pk=ann.pk).update(**change)
        before = password_of(ann)

        for act in (
            accounts.user_of_link,
            lambda token: accounts.set_password(token=token, password=NEW),
        ):
            with pytest.raises(LinkUsed):
                act(token)

        assert password_of(ann) == before
        assert Reset.objects.get(user=ann).generation == 0

    def test_deleted_used_and_inactive_have_the_same_error(self, make_user):
        gone, used, inactive, never = (make_user() for _ in range(4))
        links = [make_token(user) for user in (gone, used, inactive)] + [tokens.sign(never, 3)]
        gone.delete()
        accounts.set_password(token=links[1], password=NEW)
        User.objects.filter(pk=inactive.pk).update(is_active=False)

        errors = set()
        for token in links:
            with pytest.raises(LinkInvalid) as caught:
                accounts.user_of_link(token)
            errors.add((str(caught.value), caught.value.status))

        assert len(errors) == 1

    def test_the_fingerprint_of_another_account_is_refused(self, ann, make_user):
        eve = make_user("eve")
        Reset.objects.create(user=ann, generation=5)
        Reset.objects.create(user=eve, generation=5)
        forged = tokens._serializer().dumps(
            [str(ann.pk), 5, tokens.parse(tokens.sign(eve, 5)).fingerprint]
        )

        with pytest.raises(LinkUsed):
            accounts.set_password(token=forged, password=NEW)


class TestKeyRotation:
    """SECRET_KEY can be rotated while unused links exist."""

    def test_a_link_is_valid_while_its_key_is_a_fallback(self, ann, settings):
        token = make_token(ann)

        with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
            accounts.set_password(token=token, password=NEW)

        assert User.objects.get(pk=ann.pk).check_password(NEW)

    def test_a_link_is_invalid_without_its_key(self, ann):
        token = make_token(ann)

        with override_settings(SECRET_KEY="new"), pytest.raises(LinkInvalid):
            accounts.set_password(token=token, password=NEW)


class TestNotification:
    """The user is notified by email."""

    def test_a_notification_is_queued(self, ann):
        accounts.set_password(token=make_token(ann), password=NEW)

        operation = Operation.objects.get()
        assert (operation.verb, operation.actor, operation.total) == (
            "notify_password_changed",
            ann,
            1,
        )
        assert operation.targets.get().state == "waiting"

    def test_the_notification_is_sent(self, ann, mailbox):
        accounts.set_password(token=make_token(ann), password=NEW)
        target = publish_and_claim(Operation.objects.get().targets.get())

        result = accounts.deliver_password_changed(user_pk=ann.pk, task_id=target.task_id)

        assert result == {"outcome": "done"}
        assert mailbox.recipients == ["ann@mail.example"]
        assert NEW not in str(mailbox.messages[0])

    def test_a_pending_notification_does_not_prevent_a_reset(self, ann, mailbox):
        accounts.set_password(token=make_token(ann), password=NEW)

        assert send_email_to(ann) == {"outcome": "done"}
        assert accounts.user_of_link(latest_token(mailbox)) == User.objects.get(pk=ann.pk)

    def test_nothing_is_queued_if_the_link_is_invalid(self, ann):
        with pytest.raises(LinkInvalid):
            accounts.set_password(token="nonsense", password=NEW)

        assert not Operation.objects.exists()

    def test_if_queueing_fails_the_password_is_not_changed(self, ann, monkeypatch):
        """All changes are one transaction: the link still works."""
        token, before = make_token(ann), password_of(ann)

        def fail(**kwargs):
            raise RuntimeError("the database is full")

        monkeypatch.setattr(passwords.operations, "start", fail)
        with pytest.raises(RuntimeError):
            accounts.set_password(token=token, password=NEW)

        assert password_of(ann) == before
        assert accounts.user_of_link(token) == ann


class TestUsersWithAddress:
    """Addresses are compared exactly, except for case."""

    @pytest.mark.parametrize(
        "typed", ["mike@mail.example", "MIKE@Mail.Example", "mike@MAIL.EXAMPLE"]
    )
    def test_case_is_ignored(self, make_user, typed):
        user = make_user("mike")

        assert list(accounts.users_with_address(typed)) == [user]

    @pytest.mark.parametrize(
        ("stored", "typed"),
        [
            ("mike@mail.example", "mıke@mail.example"),
            ("mıke@mail.example", "mike@mail.example"),
            ("kim@mail.example", "\u212aim@mail.example"),
            ("mike@mail.example", "mike@ｍail.example"),
            ("mike@mail.example", "mik%@mail.example"),
            ("mike@mail.example", "m_ke@mail.example"),
            ("mike@mail.example", "mike@mail.example\n"),
            ("mike+a@mail.example", "mike@mail.example"),
        ],
    )
    def test_similar_addresses_do_not_match(self, make_user, stored, typed):
        make_user(email=stored)

        assert not accounts.users_with_address(typed).exists()

    def test_all_users_who_share_an_address_match(self, make_user):
        users = [make_user(email="team@mail.example") for _ in range(3)]

        assert set(accounts.users_with_address("team@mail.example")) == set(users)

    def test_at_most_ten_users_match(self, make_user):
        for _ in range(15):
            make_user(email="team@mail.example")

        assert accounts.users_with_address("team@mail.example").count() == 10

    def test_a_user_with_a_pending_email_is_not_queued_again(self, ann):
        request_email(ann)

        operation = accounts.request_reset_emails(
            users=accounts.users_with_address(ann.email), actor=None
        )

        assert operation.total == 0
