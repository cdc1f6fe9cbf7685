"""Choosing the password: a link works once, whoever comes first, and only for its account."""

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


class TestOnce:
    """A link is used up in the transaction that sets the password."""

    def test_it_sets_the_password(self, ann):
        accounts.set_password(token=make_token(ann), password=NEW)

        assert User.objects.get(pk=ann.pk).check_password(NEW)

    def test_the_second_time_it_is_refused(self, ann):
        token = make_token(ann)
        accounts.set_password(token=token, password=NEW)
        before = password_of(ann)

        with pytest.raises(LinkUsed):
            accounts.set_password(token=token, password="another passphrase")

        assert password_of(ann) == before

    @pytest.mark.parametrize("spelling", ["{}=", "{}=="])
    def test_another_spelling_of_it_is_refused_the_second_time_too(self, ann, spelling):
        token = make_token(ann)
        accounts.set_password(token=token, password=NEW)

        with pytest.raises(LinkUsed):
            accounts.set_password(token=spelling.format(token), password="another passphrase")

    def test_it_is_used_up_even_when_the_password_stays_the_same(self, ann, monkeypatch):
        """The password's hash alone would not tell, if it were not salted anew."""
        token = make_token(ann)
        monkeypatch.setattr(passwords, "make_password", lambda password: ann.password)
        accounts.set_password(token=token, password="old password")

        with pytest.raises(LinkUsed):
            accounts.set_password(token=token, password="old password")

    @pytest.mark.django_db(transaction=True)
    def test_of_twenty_at_once_one_succeeds(self, ann):
        token = make_token(ann)

        outcomes = run_concurrently(
            20, lambda n: accounts.set_password(token=token, password=f"passphrase {n}")
        )

        winners = [n for n, outcome in enumerate(outcomes) if outcome is None]
        assert len(winners) == 1
        assert {type(outcome) for outcome in outcomes} == {type(None), LinkUsed}
        assert User.objects.get(pk=ann.pk).check_password(f"passphrase {winners[0]}")
        assert Operation.objects.filter(verb="notify_password_changed").count() == 1


class TestRefused:
    """Nothing changes, and what is said tells nothing about the account."""

    def test_looking_uses_nothing_up(self, ann):
        token = make_token(ann)

        for _ in range(3):
            assert accounts.user_of_link(token) == ann

        accounts.set_password(token=token, password=NEW)

    def test_it_has_expired(self, ann, monkeypatch):
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
    def test_the_account_is_not_as_it_was(self, ann, change):
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

    def test_gone_used_and_inactive_sound_alike(self, make_user):
        gone, used, inactive, never = (make_user() for _ in range(4))
        links = [make_token(user) for user in (gone, used, inactive)] + [tokens.sign(never, 3)]
        gone.delete()
        accounts.set_password(token=links[1], password=NEW)
        User.objects.filter(pk=inactive.pk).update(is_active=False)

        said = set()
        for token in links:
            with pytest.raises(LinkInvalid) as caught:
                accounts.user_of_link(token)
            said.add((str(caught.value), caught.value.status))

        assert len(said) == 1

    def test_another_accounts_generation_does_not_help(self, ann, make_user):
        eve = make_user("eve")
        Reset.objects.create(user=ann, generation=5)
        Reset.objects.create(user=eve, generation=5)
        forged = tokens._serializer().dumps(
            [str(ann.pk), 5, tokens.parse(tokens.sign(eve, 5)).fingerprint]
        )

        with pytest.raises(LinkUsed):
            accounts.set_password(token=forged, password=NEW)


class TestKeys:
    """SECRET_KEY can be rotated while links are on their way."""

    def test_a_link_outlives_a_rotation(self, ann, settings):
        token = make_token(ann)

        with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
            accounts.set_password(token=token, password=NEW)

        assert User.objects.get(pk=ann.pk).check_password(NEW)

    def test_a_link_does_not_outlive_its_key(self, ann):
        token = make_token(ann)

        with override_settings(SECRET_KEY="new"), pytest.raises(LinkInvalid):
            accounts.set_password(token=token, password=NEW)


class TestNotice:
    """The user is told by mail that it happened."""

    def test_one_is_queued(self, ann):
        accounts.set_password(token=make_token(ann), password=NEW)

        operation = Operation.objects.get()
        assert (operation.verb, operation.actor, operation.total) == (
            "notify_password_changed",
            ann,
            1,
        )
        assert operation.targets.get().state == "waiting"

    def test_it_is_sent(self, ann, mailbox):
        accounts.set_password(token=make_token(ann), password=NEW)
        target = publish_and_claim(Operation.objects.get().targets.get())

        said = accounts.deliver_password_changed(user_pk=ann.pk, task_id=target.task_id)

        assert said == {"outcome": "done"}
        assert mailbox.recipients == ["ann@mail.example"]
        assert NEW not in str(mailbox.messages[0])

    def test_it_does_not_stand_in_the_way_of_a_reset(self, ann, mailbox):
        accounts.set_password(token=make_token(ann), password=NEW)

        assert send_email_to(ann) == {"outcome": "done"}
        assert accounts.user_of_link(latest_token(mailbox)) == User.objects.get(pk=ann.pk)

    def test_nothing_is_queued_when_nothing_was_changed(self, ann):
        with pytest.raises(LinkInvalid):
            accounts.set_password(token="nonsense", password=NEW)

        assert not Operation.objects.exists()

    def test_it_is_one_transaction(self, ann, monkeypatch):
        """Either all of it happened, or the link still works."""
        token, before = make_token(ann), password_of(ann)

        def fail(**_):
            raise RuntimeError("the database is full")

        monkeypatch.setattr(passwords.operations, "start", fail)
        with pytest.raises(RuntimeError):
            accounts.set_password(token=token, password=NEW)

        assert password_of(ann) == before
        assert accounts.user_of_link(token) == ann


class TestHolders:
    """Whose account an address names: theirs who have it, letter by letter, but for case."""

    @pytest.mark.parametrize(
        "typed", ["mike@mail.example", "MIKE@Mail.Example", "mike@MAIL.EXAMPLE"]
    )
    def test_case_does_not_matter(self, make_user, typed):
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
    def test_what_only_looks_alike_is_another(self, make_user, stored, typed):
        make_user(email=stored)

        assert not accounts.users_with_address(typed).exists()

    def test_everybody_who_shares_it_is_mailed(self, make_user):
        users = [make_user(email="team@mail.example") for _ in range(3)]

        assert set(accounts.users_with_address("team@mail.example")) == set(users)

    def test_but_no_crowd(self, make_user):
        for _ in range(15):
            make_user(email="team@mail.example")

        assert accounts.users_with_address("team@mail.example").count() == 10

    def test_a_user_who_waits_already_is_not_queued_twice(self, ann):
        request_email(ann)

        operation = accounts.request_reset_emails(
            users=accounts.users_with_address(ann.email), actor=None
        )

        assert operation.total == 0
