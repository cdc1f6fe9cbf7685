"""Sending one reset email: the checks before it, its link, and what is stored."""

import logging

import pytest
from django.contrib.auth.models import User

from tasks_admin import accounts
from tasks_admin.accounts import tokens
from tasks_admin.lib.errors import DeliveryDeferred, DeliveryRejected, LinkUsed
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
    """One email is sent, and its link works."""

    def test_the_outcome_is_stored(self, ann, mailbox):
        target = request_email(ann)

        assert run_task(target) == {"outcome": "done"}

        assert reload(target).state == "done"
        assert mailbox.recipients == ["ann@mail.example"]
        assert accounts.user_of_link(latest_token(mailbox)) == ann
        assert Reset.objects.get(user=ann).sent_at is not None

    def test_the_link_starts_with_host_url(self, ann, mailbox, settings):
        settings.HOST_URL = "https://console.example"

        send_email_to(ann)

        text = mailbox.messages[0].get_body(("plain",)).get_content()
        assert "\nhttps://console.example/user/reset/password/?token=" in text.replace("\r", "")

    def test_a_redelivered_task_sends_nothing(self, ann, mailbox):
        target = request_email(ann)
        run_task(target)

        target = reload(target)
        result = accounts.deliver_reset_email(user_pk=ann.pk, task_id=target.task_id, lease=60)

        assert result == {"outcome": "skipped", "reason": "pending"}
        assert len(mailbox.messages) == 1
        assert Operation.objects.count() == 1

    def test_the_email_goes_to_the_current_address(self, ann, mailbox):
        target = request_email(ann)
        User.objects.filter(pk=ann.pk).update(email="new@mail.example")

        run_task(target)

        assert mailbox.recipients == ["new@mail.example"]


class TestSecrets:
    """The token, the link, the address and the name are in the email only."""

    @pytest.mark.parametrize("prefix", ["", "550-", "451-", "data-554-", "data-451-", "drop-"])
    def test_nothing_else_contains_them(self, make_user, mailbox, caplog, prefix):
        user = make_user("annabel", email=f"{prefix}annabel@mail.example")
        target = request_email(user)
        caplog.set_level(logging.DEBUG)
        caplog.handler.addFilter(lambda record: record.name != "mail.log")  # the server's own
        signed, result = [], ""

        try:
            result = str(run_task(target))
        except (DeliveryRejected, DeliveryDeferred) as error:
            result = f"{error!r} {error.__cause__}"

        if mailbox.messages:
            signed = latest_token(mailbox).split(".")
        rows = [*Target.objects.values(), *Result.objects.values(), *Reset.objects.values()]
        rows += Operation.objects.values()
        for place in (result, str(rows), caplog.text):
            for secret in (*signed, "annabel", "mail.example"):
                assert secret not in place

    def test_the_stored_generation_is_not_enough_to_sign_a_token(self, ann, mailbox):
        send_email_to(ann)

        claim = tokens.parse(latest_token(mailbox))

        assert str(claim.generation) == str(Reset.objects.get(user=ann).generation)
        assert claim.fingerprint not in str([*Reset.objects.values(), *Target.objects.values()])


class TestSkipped:
    """The account is checked again before sending; the target is skipped with a reason."""

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

    def test_the_account_was_deleted(self, ann, bob, mailbox):
        target = request_email(ann, actor=bob)
        ann.delete()

        assert run_task(target) == {"outcome": "skipped", "reason": "gone"}

    def test_the_account_received_more_permissions_than_the_sender(self, ann, bob, mailbox):
        target = request_email(ann, actor=bob)
        User.objects.filter(pk=ann.pk).update(is_superuser=True)

        assert run_task(target) == {"outcome": "skipped", "reason": "outranks"}

    def test_the_user_requested_and_received_an_email_meanwhile(self, ann, bob, mailbox):
        target = request_email(ann, actor=bob)
        Reset.objects.create(user=ann)
        Reset.objects.filter(user=ann).update(sent_at=reload(target).due_at, target_id=0)

        assert run_task(target) == {"outcome": "skipped", "reason": "recent"}

    @pytest.mark.parametrize("change", ["deleted", "suspended", "lost the permission"])
    def test_the_sender_lost_the_permission(self, ann, bob, mailbox, change):
        target = request_email(ann, actor=bob)
        if change == "deleted":
            bob.delete()
        elif change == "suspended":
            User.objects.filter(pk=bob.pk).update(is_active=False)
        else:
            bob.user_permissions.clear()

        assert run_task(target) == {"outcome": "skipped", "reason": "actor"}
        assert not mailbox.messages

    def test_users_need_no_permission_for_their_own_request(self, ann, alice, mailbox):
        for user in (ann, alice, grant(ann, "auth.change_user")):
            assert send_email_to(user) == {"outcome": "done"}


class TestGenerations:
    """A newer email invalidates earlier links; the attempts of one target share a generation."""

    def test_a_newer_email_invalidates_the_earlier_link(self, ann, mailbox):
        send_email_to(ann)
        older = latest_token(mailbox)

        send_email_to(ann)

        assert accounts.user_of_link(latest_token(mailbox)) == ann
        with pytest.raises(LinkUsed):
            accounts.user_of_link(older)

    def test_a_pending_request_does_not_invalidate_the_earlier_link(self, ann, mailbox):
        send_email_to(ann)

        request_email(ann)

        assert accounts.user_of_link(latest_token(mailbox)) == ann

    def test_both_links_work_if_an_email_was_sent_twice(self, make_user, mailbox):
        # The server accepts the email, but the connection drops before its reply.
        user = make_user(email="drop-ann@mail.example")
        target = request_email(user)
        for _ in range(2):
            with pytest.raises(DeliveryDeferred):
                run_task(target)

        first, second = (reset_emails.token_of(message) for message in mailbox.messages)

        assert accounts.user_of_link(first) == accounts.user_of_link(second) == user
        assert len({message["Message-ID"] for message in mailbox.messages}) == 1

    def test_a_retried_target_is_skipped_if_a_newer_one_replaced_it(self, ann, mailbox):
        older = request_email(ann)
        publish_and_claim(older)
        Target.objects.filter(pk=older.pk).update(lock_key=None)
        send_email_to(ann)

        assert run_task(older) == {"outcome": "skipped", "reason": "replaced"}
        assert accounts.user_of_link(latest_token(mailbox)) == ann
        assert len(mailbox.messages) == 1

    @pytest.mark.parametrize("change", [{"email": "eve@mail.example"}, {"password": "changed"}])
    def test_a_changed_address_or_password_invalidates_the_link(self, ann, mailbox, change):
        send_email_to(ann)

        User.objects.filter(pk=ann.pk).update(**change)

        with pytest.raises(LinkUsed):
            accounts.user_of_link(latest_token(mailbox))


class TestPublishedByOtherPrograms:
    """`send_task("tasks_admin.send_reset_email", [42])`, with any task ID."""

    def test_the_task_is_adopted_and_the_email_sent_once(self, ann, mailbox):
        for expected in ({"outcome": "done"}, {"outcome": "skipped", "reason": "pending"}):
            assert (
                accounts.deliver_reset_email(user_pk=ann.pk, task_id="their-own-id", lease=60)
                == expected
            )

        assert len(mailbox.messages) == 1
        assert Operation.objects.get().verb == "request_reset_email"

    def test_a_user_that_does_not_exist(self, db, mailbox):
        result = accounts.deliver_reset_email(user_pk=4711, task_id="their-own-id", lease=60)

        assert result == {"outcome": "skipped", "reason": "gone"}

    def test_a_cancelled_target_sends_nothing(self, ann, mailbox):
        target = publish_and_claim(request_email(ann))
        Target.objects.filter(pk=target.pk).update(lock_key=None, state="cancelled")

        result = accounts.deliver_reset_email(user_pk=ann.pk, task_id=target.task_id, lease=60)

        assert result == {"outcome": "skipped", "reason": "pending"}
        assert not mailbox.messages
