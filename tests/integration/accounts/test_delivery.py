"""Sending one reset mail: what it is bound to, who is left out at last, and what is written."""

import logging

import pytest
from django.contrib.auth.models import User

from tasks_admin import accounts
from tasks_admin.accounts import tokens
from tasks_admin.lib.errors import EmailDeferred, EmailRejected, LinkUsed
from tasks_admin.models import Operation, Reset, Result, Target
from tests.conftest import grant
from tests.support import reset_emails
from tests.support.reset_emails import (
    latest_token,
    publish_and_claim,
    reload,
    request_email,
    run_task,
    send_email_to,
)


@pytest.fixture
def ann(make_user):
    return make_user("ann")


class TestSent:
    """One mail goes out, with a link that works."""

    def test_it_says_so(self, ann, mailbox):
        target = request_email(ann)

        assert run_task(target) == {"outcome": "done"}

        assert reload(target).state == "done"
        assert mailbox.recipients == ["ann@mail.example"]
        assert accounts.user_of_link(latest_token(mailbox)) == ann
        assert Reset.objects.get(user=ann).sent_at is not None

    def test_the_link_begins_with_host_url(self, ann, mailbox, settings):
        settings.HOST_URL = "https://console.example"

        send_email_to(ann)

        text = mailbox.messages[0].get_body(("plain",)).get_content()
        assert "\nhttps://console.example/user/reset/password/?token=" in text.replace("\r", "")

    def test_a_second_delivery_sends_nothing(self, ann, mailbox):
        target = request_email(ann)
        run_task(target)

        target = reload(target)
        said = accounts.deliver_reset_email(user_pk=ann.pk, task_id=target.task_id, lease=60)

        assert said == {"outcome": "skipped", "reason": "pending"}
        assert len(mailbox.messages) == 1
        assert Operation.objects.count() == 1

    def test_the_mail_goes_to_the_address_of_now(self, ann, mailbox):
        target = request_email(ann)
        User.objects.filter(pk=ann.pk).update(email="new@mail.example")

        run_task(target)

        assert mailbox.recipients == ["new@mail.example"]


class TestSecrets:
    """Token, link, address and name are in the mail, and nowhere else."""

    @pytest.mark.parametrize("prefix", ["", "550-", "451-", "data-554-", "data-451-", "drop-"])
    def test_nothing_keeps_them(self, make_user, mailbox, caplog, prefix):
        user = make_user("annabel", email=f"{prefix}annabel@mail.example")
        target = request_email(user)
        caplog.set_level(logging.DEBUG)
        caplog.handler.addFilter(lambda record: record.name != "mail.log")  # the server's own
        signed, said = [], ""

        try:
            said = str(run_task(target))
        except (EmailRejected, EmailDeferred) as error:
            said = f"{error!r} {error.__cause__}"

        if mailbox.messages:
            signed = latest_token(mailbox).split(".")
        rows = [*Target.objects.values(), *Result.objects.values(), *Reset.objects.values()]
        rows += Operation.objects.values()
        for place in (said, str(rows), caplog.text):
            for secret in (*signed, "annabel", "mail.example"):
                assert secret not in place

    def test_the_generation_alone_makes_no_token(self, ann, mailbox):
        send_email_to(ann)

        claim = tokens.parse(latest_token(mailbox))

        assert str(claim.generation) == str(Reset.objects.get(user=ann).generation)
        assert claim.fingerprint not in str([*Reset.objects.values(), *Target.objects.values()])


class TestLeftOutAtLast:
    """What changed since the click counts: the target ends as skipped, with the reason."""

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"is_active": False}, "inactive"),
            ({"email": ""}, "no_address"),
            ({"email": "a@b@mail.example"}, "bad_address"),
            ({"email": "ann@mail.example\n"}, "bad_address"),
            ({"email": "ann@mail.example\nBcc: eve@mail.example"}, "bad_address"),
            ({"email": "ann\x07@mail.example"}, "bad_address"),
            ({"email": "mıke@mail.example"}, "bad_address"),
            ({"email": "ann@mail..example"}, "bad_address"),
            ({"password": "!"}, "no_password"),
        ],
    )
    def test_the_account_changed(self, ann, mailbox, change, reason):
        target = request_email(ann)
        User.objects.filter(pk=ann.pk).update(**change)

        assert run_task(target) == {"outcome": "skipped", "reason": reason}

        assert (reload(target).state, reload(target).reason) == ("skipped", reason)
        assert not mailbox.tries

    def test_the_account_is_gone(self, ann, bob, mailbox):
        target = request_email(ann, actor=bob)
        ann.delete()

        assert run_task(target) == {"outcome": "skipped", "reason": "gone"}

    def test_the_account_was_promoted_above_the_sender(self, ann, bob, mailbox):
        target = request_email(ann, actor=bob)
        User.objects.filter(pk=ann.pk).update(is_superuser=True)

        assert run_task(target) == {"outcome": "skipped", "reason": "outranks"}

    def test_the_user_asked_and_was_mailed_meanwhile(self, ann, bob, mailbox):
        target = request_email(ann, actor=bob)
        Reset.objects.create(user=ann)
        Reset.objects.filter(user=ann).update(sent_at=reload(target).due_at, target_id=0)

        assert run_task(target) == {"outcome": "skipped", "reason": "recent"}

    @pytest.mark.parametrize("change", ["deleted", "suspended", "lost the permission"])
    def test_the_sender_may_no_longer(self, ann, bob, mailbox, change):
        target = request_email(ann, actor=bob)
        if change == "deleted":
            bob.delete()
        elif change == "suspended":
            User.objects.filter(pk=bob.pk).update(is_active=False)
        else:
            bob.user_permissions.clear()

        assert run_task(target) == {"outcome": "skipped", "reason": "actor"}
        assert not mailbox.messages

    def test_who_asks_for_themselves_needs_no_permission(self, ann, alice, mailbox):
        for user in (ann, alice, grant(ann, "auth.change_user")):
            assert send_email_to(user) == {"outcome": "done"}


class TestGenerations:
    """A newer mail makes older links useless; tries of one mail share theirs."""

    def test_a_newer_mail_makes_the_older_link_useless(self, ann, mailbox):
        send_email_to(ann)
        older = latest_token(mailbox)

        send_email_to(ann)

        assert accounts.user_of_link(latest_token(mailbox)) == ann
        with pytest.raises(LinkUsed):
            accounts.user_of_link(older)

    def test_a_request_alone_does_not_while_its_mail_waits(self, ann, mailbox):
        send_email_to(ann)

        request_email(ann)

        assert accounts.user_of_link(latest_token(mailbox)) == ann

    def test_both_copies_work_when_a_mail_went_out_twice(self, make_user, mailbox):
        user = make_user(email="drop-ann@mail.example")  # taken, but nobody heard so
        target = request_email(user)
        for _ in range(2):
            with pytest.raises(EmailDeferred):
                run_task(target)

        first, second = (reset_emails.token_of(message) for message in mailbox.messages)

        assert accounts.user_of_link(first) == accounts.user_of_link(second) == user
        assert len({message["Message-ID"] for message in mailbox.messages}) == 1

    def test_an_older_target_that_tries_again_is_replaced_by_a_newer_one(self, ann, mailbox):
        older = request_email(ann)
        publish_and_claim(older)
        Target.objects.filter(pk=older.pk).update(lock_key=None)
        send_email_to(ann)

        assert run_task(older) == {"outcome": "skipped", "reason": "replaced"}
        assert accounts.user_of_link(latest_token(mailbox)) == ann
        assert len(mailbox.messages) == 1

    @pytest.mark.parametrize("change", [{"email": "eve@mail.example"}, {"password": "changed"}])
    def test_a_link_dies_with_the_address_and_the_password_it_was_made_for(
        self, ann, mailbox, change
    ):
        send_email_to(ann)

        User.objects.filter(pk=ann.pk).update(**change)

        with pytest.raises(LinkUsed):
            accounts.user_of_link(latest_token(mailbox))


class TestOtherPrograms:
    """`send_task("tasks_admin.send_reset_email", [42])`, with any task id."""

    def test_it_is_recorded_and_sent_once(self, ann, mailbox):
        for expected in ({"outcome": "done"}, {"outcome": "skipped", "reason": "pending"}):
            assert (
                accounts.deliver_reset_email(user_pk=ann.pk, task_id="their-own-id", lease=60)
                == expected
            )

        assert len(mailbox.messages) == 1
        assert Operation.objects.get().verb == "request_reset_email"

    def test_a_user_who_is_not_there(self, db, mailbox):
        said = accounts.deliver_reset_email(user_pk=4711, task_id="their-own-id", lease=60)

        assert said == {"outcome": "skipped", "reason": "gone"}

    def test_an_id_of_ours_that_was_taken_back_sends_nothing(self, ann, mailbox):
        target = publish_and_claim(request_email(ann))
        Target.objects.filter(pk=target.pk).update(lock_key=None, state="cancelled")

        said = accounts.deliver_reset_email(user_pk=ann.pk, task_id=target.task_id, lease=60)

        assert said == {"outcome": "skipped", "reason": "pending"}
        assert not mailbox.messages
