"""Errors of the mail server: permanent ones fail the target, temporary ones are retried."""

import random
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from tasks_admin import accounts
from tasks_admin.integrations.mail import emails
from tasks_admin.lib.errors import DeliveryDeferred, DeliveryRejected
from tasks_admin.models import Reset, Target
from tasks_admin.operations import deliveries
from tests.conftest import use_mail_server
from tests.support.ports import free_port
from tests.support.reset_emails import publish_and_claim, reload, request_email, run_task


@pytest.fixture
def target_of(make_user):
    """Make a target whose local part selects the reply of the mail server."""
    return lambda local: request_email(make_user(email=f"{local}@mail.example"))


@pytest.fixture
def drawn(monkeypatch):
    """Record the bounds and the value of each random delay."""
    draws, uniform = [], random.uniform

    def record(low, high):
        draws.append((low, high, uniform(low, high)))
        return draws[-1][-1]

    monkeypatch.setattr(deliveries.random, "uniform", record)
    return draws


class TestPermanentErrors:
    """The target fails immediately."""

    @pytest.mark.parametrize(
        ("local", "words"),
        [("550-ann", "550 5.1.1 <hidden> is not wanted"), ("data-554-ann", "554 <hidden> not now")],
    )
    def test_the_reply_of_the_server_is_stored(self, target_of, mailbox, local, words):
        target = target_of(local)

        with pytest.raises(DeliveryRejected):
            run_task(target)

        target = reload(target)
        assert (target.state, target.reason, target.detail) == ("failed", "refused", words)
        assert target.finished_at is not None
        assert target.lock_key is None
        assert target.tries == 1

    def test_a_rejected_email_does_not_delay_another(self, target_of, mailbox):
        target = target_of("550-ann")
        with pytest.raises(DeliveryRejected):
            run_task(target)

        assert Reset.objects.get().sent_at is None
        assert Reset.objects.recent().count() == 0


class TestTemporaryErrors:
    """The target waits for its next attempt."""

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
    def test_the_reply_of_the_server_is_stored(self, target_of, mailbox, local, words):
        target = target_of(local)

        with pytest.raises(DeliveryDeferred):
            run_task(target)

        target = reload(target)
        assert (target.state, target.reason, target.detail) == ("waiting", "delayed", words)
        assert target.finished_at is None
        assert target.lock_key is not None

    def test_no_server_is_listening(self, target_of, settings):
        use_mail_server(settings, port=free_port())
        target = target_of("ann")

        with pytest.raises(DeliveryDeferred, match="ConnectionRefusedError"):
            run_task(target)

        assert reload(target).state == "waiting"

    @pytest.mark.parametrize(("tries", "ceiling"), [(0, 8), (1, 16), (3, 64), (6, 100)])
    def test_the_delay_is_random_with_a_growing_and_bounded_maximum(
        self, target_of, mailbox, settings, drawn, tries, ceiling
    ):
        settings.TASKS_ADMIN_BACKOFF_BASE, settings.TASKS_ADMIN_BACKOFF_CAP = 4, 100
        target = target_of("451-ann")

        for number in range(10):
            Target.objects.filter(pk=target.pk).update(tries=tries)
            started = timezone.now() - timedelta(milliseconds=2)
            with pytest.raises(DeliveryDeferred):
                run_task(target)
            ended = timezone.now() + timedelta(milliseconds=2)
            (low, high, delay) = drawn[number]
            assert (low, high) == (0, ceiling)
            delayed = timedelta(seconds=delay)
            assert started + delayed <= reload(target).due_at <= ended + delayed

        delays = [delay for _low, _high, delay in drawn]
        assert max(delays) > ceiling / 8
        assert max(delays) - min(delays) > ceiling / 20

    def test_the_email_is_sent_after_the_server_has_recovered(self, target_of, mailbox):
        target = target_of("twice-ann")

        for _ in range(2):
            with pytest.raises(DeliveryDeferred):
                run_task(target)

        assert run_task(target) == {"outcome": "done"}
        target = reload(target)
        assert (target.state, target.reason, target.tries) == ("done", "", 3)

    def test_the_target_fails_after_the_last_attempt(self, target_of, mailbox, settings):
        settings.TASKS_ADMIN_MAX_TRIES = 3
        target = target_of("451-ann")

        for expected in (DeliveryDeferred, DeliveryDeferred, DeliveryRejected):
            with pytest.raises(expected):
                run_task(target)

        target = reload(target)
        assert (target.state, target.reason, target.tries) == ("failed", "gave_up", 3)
        assert target.detail == "451 5.1.1 <hidden> is not wanted"
        assert target.lock_key is None


class TestFence:
    """An attempt that has lost its claim does not affect the current attempt."""

    def test_a_late_rejection_does_not_fail_the_newer_attempt(self, target_of, mailbox):
        target = target_of("550-ann")
        old = publish_and_claim(target)
        Target.objects.filter(pk=target.pk).update(attempt=2)

        with pytest.raises(DeliveryRejected):
            deliveries.deliver(_build_notification(old), old)

        assert (reload(target).state, reload(target).attempt) == ("running", 2)

    def test_a_late_deferral_does_not_requeue_the_newer_attempt(self, target_of, mailbox):
        target = target_of("451-ann")
        old = publish_and_claim(target)
        Target.objects.filter(pk=target.pk).update(attempt=2)

        with pytest.raises(DeliveryDeferred):
            deliveries.deliver(_build_notification(old), old)

        assert (reload(target).state, reload(target).attempt) == ("running", 2)


class TestNotification:
    """The notification of a changed password."""

    def test_inactive_users_are_notified(self, make_user, mailbox):
        user = make_user(is_active=False)
        target = publish_and_claim(request_email(user))

        result = accounts.deliver_password_changed(user_pk=user.pk, task_id=target.task_id)

        assert result == {"outcome": "done"}
        assert mailbox.messages[0]["Subject"].endswith("was changed")

    @pytest.mark.parametrize(
        ("email", "reason"), [("", "bad_address"), ("a@b\nBcc: c@d.example", "bad_address")]
    )
    def test_an_invalid_address_is_skipped(self, make_user, mailbox, email, reason):
        user = make_user(email=email)
        target = publish_and_claim(request_email(user))

        result = accounts.deliver_password_changed(user_pk=user.pk, task_id=target.task_id)

        assert result == {"outcome": "skipped", "reason": reason}
        assert not mailbox.tries

    def test_a_deleted_user_is_skipped(self, make_user, mailbox):
        user = make_user()
        target = publish_and_claim(request_email(user))
        pk = user.pk
        user.delete()

        result = accounts.deliver_password_changed(user_pk=pk, task_id=target.task_id)

        assert result == {"outcome": "skipped", "reason": "gone"}


def _build_notification(target):
    user = User.objects.get(pk=target.subject)
    return emails.build_email("password_changed", user=user, target=target, context={})
