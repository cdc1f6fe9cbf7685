"""Retry of an operation's failed targets: a new, linked operation, after a preview."""

import pytest
from django.contrib.auth.models import User

from tasks_admin import accounts, dispatcher, results
from tasks_admin.lib.errors import DeliveryRejected
from tasks_admin.models import Operation, Result, Target
from tasks_admin.operations import Confirmation
from tests.support.factories import make_operation, make_result, queued_messages
from tests.support.pages import OPERATIONS, confirm, hidden_fields, page_text
from tests.support.reset_emails import publish_and_claim, request_email, run_task


@pytest.fixture
def client(as_user, alice):
    return as_user(alice)


@pytest.fixture
def operation(alice):
    return make_operation(4, actor=alice)


def address(operation, act):
    return f"{OPERATIONS}{operation.pk}/{act}"


def make_failures(operation, count):
    """Let targets fail at their second attempt; return the task ids of those attempts."""
    ids = []
    for target in operation.targets.filter(state="waiting").order_by("pk")[:count]:
        target.operation = operation
        for attempt in (1, 2):
            make_result(task_id=target.task_id_of(attempt))
        rows = Target.objects.filter(pk=target.pk)
        rows.update(attempt=2)
        rows.settle("failed", reason="refused")
        ids.append(target.task_id_of(2))
    return ids


class TestRetry:
    """A retry is a new operation, linked to the original one."""

    def test_only_latest_attempts_of_failed_targets_are_retried(self, client, operation, broker):
        ids = make_failures(operation, 2)
        done = operation.targets.filter(state="waiting").first()
        make_result("SUCCESS", task_id=f"{operation.key}-{done.pk}-1")
        Target.objects.filter(pk=done.pk).update(attempt=1)
        Target.objects.filter(pk=done.pk).settle("done")
        url = address(operation, "retry/")

        page = client.post(url)
        assert "2 failed tasks will be queued again" in page_text(page)
        page = confirm(client, page, url)

        new = Operation.objects.get(verb="retry_failed")
        assert page.url == new.get_absolute_url()
        assert (new.parent, new.total, new.reason) == (operation, 2, "because")
        assert sorted(new.targets.values_list("subject", flat=True)) == sorted(ids)
        assert str(operation) in page_text(client.get(new.get_absolute_url()))
        assert str(new) in page_text(client.get(operation.get_absolute_url()))

    def test_a_second_retry_has_nothing_to_do(self, client, operation):
        make_failures(operation, 2)
        url = address(operation, "retry/")
        confirm(client, client.post(url), url)

        page = client.post(url)

        assert "Already retried 2" in page_text(page)
        assert "Nothing to do" in page_text(page)

    def test_a_rejected_email_is_sent_by_the_retry(self, client, broker, mailbox, alice, make_user):
        user = make_user("ann", email="550-ann@mail.example")
        target = request_email(user, actor=alice)
        with pytest.raises(DeliveryRejected):
            run_task(target)
        target.refresh_from_db()
        make_result(task_id=target.task_id, args=[user.pk])
        User.objects.filter(pk=user.pk).update(email="ann@mail.example")
        url = address(target.operation, "retry/")
        confirm(client, client.post(url), url)

        new = Operation.objects.get(verb="retry_failed")
        assert dispatcher.sweep() == 1
        (message,) = queued_messages(broker)
        assert message.args == [user.pk]
        retried = publish_and_claim(new.targets.get())
        accounts.deliver_reset_email(user_pk=user.pk, task_id=retried.task_id, lease=60)
        assert mailbox.recipients == ["ann@mail.example"]

    def test_the_permission_is_required(self, as_user, charlie, operation):
        make_failures(operation, 1)
        client = as_user(charlie)
        url = address(operation, "retry/")

        assert b"/retry/" not in client.get(operation.get_absolute_url()).content
        assert client.post(url).status_code == 403
        assert client.post(url, {"confirm": "Yes"}).status_code == 403

    def test_a_get_shows_the_page(self, client, operation):
        assert client.get(address(operation, "retry/")).status_code == 200

    def test_the_link_back_leads_to_the_operation(self, client, operation):
        page = client.post(address(operation, "retry/"))

        assert f'href="{operation.get_absolute_url()}"' in page.content.decode()

    @pytest.mark.parametrize("rate", ["0", "many"])
    def test_the_confirmation_rejects_an_invalid_rate(self, client, operation, rate):
        make_failures(operation, 1)
        url = address(operation, "retry/")

        page = confirm(client, client.post(url), url, rate=rate)

        assert page.status_code == 200
        assert "errorlist" in page.content.decode()
        assert not Operation.objects.filter(verb="retry_failed").exists()


class TestPreview:
    """The preview counts results by task, exception and verdict; the counts add up."""

    def failure(self, kind="MailRefused", **fields):
        return make_result(result=f'{{"exc_type": "{kind}", "exc_message": []}}', **fields)

    def test_groups(self, alice):
        first, *_others = [self.failure() for _ in range(3)]
        self.failure("OSError")
        self.failure("OSError", task="no.such.task")
        self.failure(task_args='"(1, ...)"')
        make_result("SUCCESS", result='"fine"')
        results.retry_failed(
            results=Result.objects.filter(pk=first.pk),
            confirmation=Confirmation(actor=alice, reason="r"),
        )
        everything = Result.objects.all()

        groups = results.preview_groups(everything)

        reset = "tasks_admin.send_reset_email"
        assert groups[0] == (reset, "MailRefused", "", 2)
        assert sorted(groups[1:]) == [
            ("no.such.task", "OSError", "unregistered", 1),
            (reset, "", "not_failed", 1),
            (reset, "MailRefused", "lossy", 1),
            (reset, "MailRefused", "retried", 1),
            (reset, "OSError", "", 1),
        ]
        assert sum(group[-1] for group in groups) == everything.count()

    def test_groups_beyond_the_limit_are_summed_up(self, monkeypatch, db):
        monkeypatch.setattr(results.actions, "MAX_GROUPS", 2)
        for kind, count in (("A", 3), ("B", 2), ("C", 1), ("D", 1)):
            for _ in range(count):
                self.failure(kind)

        assert [group[1:] for group in results.preview_groups(Result.objects.all())] == [
            ("A", "", 3), ("B", "", 2), ("", "others", 2),
        ]  # fmt: skip

    @pytest.mark.parametrize("stored", [None, "", "[]", '{"exc_type": ', '{"exc_type": "', "🦄"])
    def test_an_unreadable_exception_is_empty(self, db, stored):
        make_result(result=stored)

        assert [group[1] for group in results.preview_groups(Result.objects.all())] == [""]

    def test_a_long_name_is_cut(self, db):
        self.failure("X" * 1000)

        assert results.preview_groups(Result.objects.all())[0][1] == "X" * 200

    def test_the_page_shows_the_groups(self, client, operation):
        make_failures(operation, 2)
        Result.objects.filter(task_id__endswith="-2").update(
            result='{"exc_type": "<b>", "exc_message": []}'
        )

        page = client.post(address(operation, "retry/"))

        assert "<b> Will be retried 2" in page_text(page).replace("&lt;b&gt;", "<b>")
        assert b"<b>" not in page.content
        assert hidden_fields(page)["shown"].startswith("2:")
