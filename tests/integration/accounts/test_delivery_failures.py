"""When the mail server refuses or is ill: failed at once, or tried again, within bounds."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from tasks_admin import accounts
from tasks_admin.integrations.mail import emails
from tasks_admin.lib.errors import EmailDeferred, EmailRejected
from tasks_admin.models import Reset, Target
from tasks_admin.operations import deliveries
from tests.conftest import use_mail_server
from tests.support.ports import free_port
from tests.support.reset_emails import publish_and_claim, reload, request_email, run_task


@pytest.fixture
def target_of(make_user):
    """A target whose mail goes to an address that the server answers in a certain way."""
    return lambda local: request_email(make_user(email=f"{local}@mail.example"))


class TestForGood:
    """The target fails at once."""

    @pytest.mark.parametrize(
        ("local", "words"),
        [("550-ann", "550 5.1.1 <hidden> is not wanted"), ("data-554-ann", "554 <hidden> not now")],
    )
    def test_it_says_what_the_server_said(self, target_of, mailbox, local, words):
        target = target_of(local)

        with pytest.raises(EmailRejected):
            run_task(target)

        target = reload(target)
        assert (target.state, target.reason, target.detail) == ("failed", "refused", words)
        assert target.finished_at is not None
        assert target.lock_key is None
        assert target.tries == 1

    def test_who_was_refused_can_be_mailed_again_at_once(self, target_of, mailbox):
        target = target_of("550-ann")
        with pytest.raises(EmailRejected):
            run_task(target)

        assert Reset.objects.get().sent_at is None
        assert Reset.objects.recent().count() == 0


class TestForNow:
    """The target waits for its next try."""

    @pytest.mark.parametrize(
        ("local", "words"),
        [
            ("450-ann", "450 5.1.1 <hidden> is not wanted"),
            ("451-ann", "451 5.1.1 <hidden> is not wanted"),
            ("421-ann", "421 5.1.1 <hidden> is not wanted"),
            ("data-451-ann", "451 <hidden> not now"),
            ("drop-ann", "SMTPServerDisconnected"),
        ],
    )
    def test_it_says_what_the_server_said(self, target_of, mailbox, local, words):
        target = target_of(local)

        with pytest.raises(EmailDeferred):
            run_task(target)

        target = reload(target)
        assert (target.state, target.reason, target.detail) == ("waiting", "delayed", words)
        assert target.finished_at is None
        assert target.lock_key is not None

    def test_nobody_listens(self, target_of, settings):
        use_mail_server(settings, port=free_port())
        target = target_of("ann")

        with pytest.raises(EmailDeferred, match="ConnectionRefusedError"):
            run_task(target)

        assert reload(target).state == "waiting"

    @pytest.mark.parametrize(("tries", "ceiling"), [(0, 8), (1, 16), (3, 64), (6, 100)])
    def test_the_wait_grows_and_is_bounded(self, target_of, mailbox, settings, tries, ceiling):
        settings.TASKS_ADMIN_BACKOFF_BASE, settings.TASKS_ADMIN_BACKOFF_CAP = 4, 100
        target, waits = target_of("451-ann"), []

        for _ in range(10):
            Target.objects.filter(pk=target.pk).update(tries=tries)
            began = timezone.now() - timedelta(milliseconds=2)
            with pytest.raises(EmailDeferred):
                run_task(target)
            waits.append((reload(target).due_at - began).total_seconds())

        assert all(0 <= wait <= ceiling + 1 for wait in waits)
        assert max(waits) > ceiling / 8
        assert max(waits) - min(waits) > ceiling / 20

    def test_it_is_sent_once_the_server_is_well(self, target_of, mailbox):
        target = target_of("twice-ann")

        for _ in range(2):
            with pytest.raises(EmailDeferred):
                run_task(target)

        assert run_task(target) == {"outcome": "done"}
        target = reload(target)
        assert (target.state, target.reason, target.tries) == ("done", "", 3)

    def test_after_the_last_try_it_fails(self, target_of, mailbox, settings):
        settings.TASKS_ADMIN_MAX_TRIES = 3
        target = target_of("451-ann")

        for expected in (EmailDeferred, EmailDeferred, EmailRejected):
            with pytest.raises(expected):
                run_task(target)

        target = reload(target)
        assert (target.state, target.reason, target.tries) == ("failed", "gave_up", 3)
        assert target.detail == "451 5.1.1 <hidden> is not wanted"
        assert target.lock_key is None


class TestFence:
    """Who lost its claim changes nothing for who has it now."""

    def test_a_refusal_that_comes_late_does_not_fail_the_newer_attempt(self, target_of, mailbox):
        target = target_of("550-ann")
        old = publish_and_claim(target)
        Target.objects.filter(pk=target.pk).update(attempt=2)

        with pytest.raises(EmailRejected):
            deliveries.deliver(_letter(old), old)

        assert (reload(target).state, reload(target).attempt) == ("running", 2)

    def test_a_delay_that_comes_late_does_not_put_the_newer_attempt_back(self, target_of, mailbox):
        target = target_of("451-ann")
        old = publish_and_claim(target)
        Target.objects.filter(pk=target.pk).update(attempt=2)

        with pytest.raises(EmailDeferred):
            deliveries.deliver(_letter(old), old)

        assert (reload(target).state, reload(target).attempt) == ("running", 2)


class TestNotice:
    """The mail that tells of a change follows the same rules."""

    def test_it_goes_to_who_is_inactive_too(self, make_user, mailbox):
        user = make_user(is_active=False)
        target = publish_and_claim(request_email(user))

        said = accounts.deliver_password_changed(user_pk=user.pk, task_id=target.task_id)

        assert said == {"outcome": "done"}
        assert mailbox.messages[0]["Subject"].endswith("was changed")

    @pytest.mark.parametrize(
        ("email", "reason"), [("", "bad_address"), ("a@b\nBcc: c@d.example", "bad_address")]
    )
    def test_it_goes_to_no_bad_address(self, make_user, mailbox, email, reason):
        user = make_user(email=email)
        target = publish_and_claim(request_email(user))

        said = accounts.deliver_password_changed(user_pk=user.pk, task_id=target.task_id)

        assert said == {"outcome": "skipped", "reason": reason}
        assert not mailbox.tries

    def test_it_is_left_out_when_the_user_is_gone(self, make_user, mailbox):
        user = make_user()
        target = publish_and_claim(request_email(user))
        pk = user.pk
        user.delete()

        said = accounts.deliver_password_changed(user_pk=pk, task_id=target.task_id)

        assert said == {"outcome": "skipped", "reason": "gone"}


def _letter(target):
    user = User.objects.get(pk=target.subject)
    return emails.build_email("password_changed", user=user, target=target, context={})
