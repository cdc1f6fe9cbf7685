"""Notifications: the actor of an operation receives an email when it has finished."""

import pytest
from django.contrib.auth.models import User

from tasks_admin import accounts, dispatcher, operations
from tasks_admin.lib.errors import DeliveryDeferred
from tasks_admin.models import Operation, Target
from tasks_admin.operations import notifications
from tests.support.factories import make_operation
from tests.support.reset_emails import publish_and_claim, reload


@pytest.fixture(autouse=True)
def summaries_enabled(settings):
    settings.TASKS_ADMIN_MAIL_SUMMARY = True
    settings.HOST_URL = "https://console.example"


@pytest.fixture
def finished(alice):
    """A finished operation of alice's."""
    operation = make_operation(3, actor=alice, prefix="recipient")
    for target, state in zip(operation.targets.all(), ("done", "done", "failed"), strict=True):
        Target.objects.filter(pk=target.pk).settle(state, detail="550 somebody0@mail.example")
    operations.finish_ended()
    return operation


def notification_targets():
    """The targets of notifications."""
    return Target.objects.filter(operation__verb="send_notification").select_related("operation")


def send():
    target = publish_and_claim(notification_targets().get())

    outcome = notifications.send(subject=target.subject, task_id=target.task_id)
    return outcome, reload(target)


class TestRecipient:
    """The actor is notified once."""

    def test_the_actor_is_notified(self, finished, alice):
        target = notification_targets().get()

        assert target.subject == f"email:{finished.pk}"
        assert (target.operation.actor, target.operation.parent) == (alice, finished)
        assert target.operation.state == "running"

    def test_one_notification_per_operation(self, finished):
        assert [operations.finish_ended() for _ in range(3)] == [0, 0, 0]
        assert notification_targets().count() == 1

    def test_a_notification_causes_no_further_notification(self, finished, mailbox):
        send()

        assert operations.finish_ended() == 1
        assert operations.finish_ended() == 0
        assert notification_targets().count() == 1

    def test_an_aborted_operation_is_reported_too(self, alice):
        operation = make_operation(2, actor=alice)
        operations.abort(operation=operation, actor=alice, reason="r")

        operations.finish_ended()

        assert notification_targets().count() == 1

    def test_a_user_who_requests_their_own_reset_is_not_notified(self, alice):
        accounts.request_reset_emails(users=User.objects.filter(pk=alice.pk), actor=alice)
        Target.objects.all().settle("done")

        assert operations.finish_ended() == 1
        assert not notification_targets().exists()

    def test_actions_on_an_operation_are_not_reported(self, alice):
        operation = make_operation(1, actor=alice)
        operations.pause(operation=operation, actor=alice, reason="r")

        operations.finish_ended()

        assert not notification_targets().exists()

    def test_the_setting_disables_notifications(self, settings, alice):
        settings.TASKS_ADMIN_MAIL_SUMMARY = False
        make_operation(1, actor=alice).targets.all().settle("done")

        assert operations.finish_ended() == 1
        assert not notification_targets().exists()

    def test_a_deleted_actor_is_not_notified(self, make_user):
        actor = make_user("zoe", is_superuser=True)
        operation = make_operation(1, actor=actor)
        actor.delete()
        operation.targets.all().settle("done")

        assert operations.finish_ended() == 1
        assert not notification_targets().exists()

    def test_a_notification_needs_no_approval(self, settings, alice):
        settings.TASKS_ADMIN_APPROVAL_ABOVE = 0
        operation = make_operation(1, actor=alice)
        Operation.objects.update(state="running")
        operation.targets.all().settle("done")

        operations.finish_ended()

        assert notification_targets().get().operation.state == "running"

    def test_a_notification_requires_no_permission(self, broker, finished, alice):
        User.objects.filter(pk=alice.pk).update(is_superuser=False)

        assert dispatcher.sweep() == 1


class TestEmail:
    """The content of the email."""

    def test_it_has_the_outcome_and_the_link(self, finished, mailbox, alice):
        outcome, target = send()

        assert outcome == {"outcome": "done"}
        assert (target.state, target.operation_id) == (
            "done",
            notification_targets().get().operation_id,
        )
        (message,) = mailbox.messages
        assert message["To"] == alice.email
        assert message["Subject"] == "Password-reset emails: 2 sent, 1 failed"
        for kind in ("plain", "html"):
            body = message.get_body((kind,)).get_content()
            assert f"Your operation #{finished.pk} has finished." in body
            assert "Password-reset emails: 2 sent, 1 failed" in body
            assert f"https://console.example{finished.get_absolute_url()}" in body

    def test_other_operations_are_named_by_their_title_and_counts(self, finished, mailbox):
        Operation.objects.filter(pk=finished.pk).update(verb="retry_failed")

        send()

        assert mailbox.messages[0]["Subject"] == "Retry failed tasks: 2 done, 1 failed"

    def test_an_aborted_operation(self, finished, mailbox):
        Operation.objects.filter(pk=finished.pk).update(state="aborted")

        send()

        for kind in ("plain", "html"):
            body = mailbox.messages[0].get_body((kind,)).get_content()
            assert f"Your operation #{finished.pk} was aborted." in body

    def test_no_name_or_email_address_of_a_target(self, finished, mailbox):
        send()

        assert b"recipient" not in mailbox.messages[0].as_bytes()

    def test_the_email_is_in_the_language_of_the_console(self, finished, mailbox, settings):
        settings.LANGUAGE_CODE = "zh-hans"
        send()

        assert b'lang="zh-hans"' in mailbox.messages[0].get_payload()[1].get_payload(decode=True)

    def test_markup_in_a_name_is_escaped(self, finished, mailbox, alice):
        User.objects.filter(pk=alice.pk).update(username="<b>&")
        send()

        assert "Hello &lt;b&gt;&amp;" in mailbox.messages[0].get_body(("html",)).get_content()
        assert "Hello <b>&" in mailbox.messages[0].get_body(("plain",)).get_content()


class TestSkipped:
    """A notification that cannot be sent is skipped, with the reason."""

    @pytest.mark.parametrize(
        ("change", "reason"),
        [({"is_active": False}, "inactive"), ({"email": ""}, "bad_address"),
         ({"email": "nonsense"}, "bad_address")],
    )  # fmt: skip
    def test_an_actor_who_cannot_receive_emails(self, finished, mailbox, alice, change, reason):
        User.objects.filter(pk=alice.pk).update(**change)

        outcome, target = send()

        assert outcome == {"outcome": "skipped", "reason": reason}
        assert (target.state, target.reason) == ("skipped", reason)
        assert not mailbox.messages

    def test_a_deleted_account(self, finished, mailbox, alice):
        alice.delete()

        assert send()[0] == {"outcome": "skipped", "reason": "gone"}

    def test_a_deleted_operation(self, finished, mailbox):
        finished.delete()

        assert send()[0] == {"outcome": "skipped", "reason": "gone"}


def test_a_notification_is_retried_while_the_mail_server_is_unavailable(finished, mailbox, alice):
    User.objects.filter(pk=alice.pk).update(email="451-alice@mail.example")
    target = publish_and_claim(notification_targets().get())

    with pytest.raises(DeliveryDeferred):
        notifications.send(subject=target.subject, task_id=target.task_id)

    assert (reload(target).state, reload(target).reason) == ("waiting", "delayed")
