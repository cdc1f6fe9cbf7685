"""Approval: above a threshold an operation waits until another user approves it."""

import uuid

import pytest
from django.contrib.auth.models import User

from tasks_admin import accounts, dispatcher, operations, results
from tasks_admin.lib.errors import NotAllowed, WrongState
from tasks_admin.models import Operation, Result
from tasks_admin.operations import Confirmation
from tests.conftest import grant
from tests.support.factories import make_result, make_users
from tests.support.pages import OPERATIONS, USERS, confirm, page_text, run_action


@pytest.fixture(autouse=True)
def threshold(settings):
    settings.TASKS_ADMIN_APPROVAL_ABOVE = 2


def start(actor, count=3, prefix="u"):
    make_users(count, prefix)
    users = User.objects.filter(username__startswith=prefix)
    return accounts.send_reset_emails(
        users=users,
        confirmation=Confirmation(
            actor=actor,
            reason="r",
            key=uuid.uuid4(),
            shown=accounts.select(users, actor=actor).fingerprint(),
        ),
    )


def approve(operation, actor):
    return operations.approve(operation=operation, actor=actor, reason="looks right")


def state_of(operation):
    return Operation.objects.get(pk=operation.pk).state


class TestThreshold:
    """The number of targets above which an operation needs approval."""

    @pytest.mark.parametrize(("count", "state"), [(1, "running"), (2, "running"), (3, "pending")])
    def test_more_targets_than_the_threshold_need_approval(self, alice, count, state):
        assert start(alice, count).state == state_of(start(alice, count, "v")) == state

    def test_approval_is_disabled_by_default(self, settings, alice):
        del settings.TASKS_ADMIN_APPROVAL_ABOVE

        assert start(alice, 50).state == "running"

    def test_with_zero_every_operation_needs_approval(self, settings, alice):
        settings.TASKS_ADMIN_APPROVAL_ABOVE = 0

        assert start(alice, 1).state == "pending"

    def test_a_retry_needs_approval_too(self, alice):
        for _ in range(3):
            make_result()

        operation = results.retry_failed(
            results=Result.objects.all(), confirmation=Confirmation(actor=alice, reason="r")
        )

        assert operation.state == "pending"

    def test_a_request_of_a_user_needs_no_approval(self, settings, alice):
        settings.TASKS_ADMIN_APPROVAL_ABOVE = 0

        assert (
            accounts.request_reset_emails(users=User.objects.filter(pk=alice.pk), actor=None).total
            == 1
        )
        assert set(Operation.objects.values_list("state", flat=True)) == {"running"}


class TestApproval:
    """No target is published before another user approves the operation."""

    def test_all_targets_are_published_after_the_approval_and_none_before(self, broker, alice, bob):
        operation = start(alice)
        assert dispatcher.sweep() == 0
        assert broker.llen("mail") == 0
        assert not Result.objects.exists()

        record = approve(operation, bob)

        assert dispatcher.sweep() == 3
        assert (record.verb, record.actor, record.reason) == ("approve", bob, "looks right")
        assert record.parent == operation

    def test_the_actor_cannot_approve_their_own_operation(self, alice):
        operation = start(alice)

        with pytest.raises(NotAllowed, match="cannot approve your own"):
            approve(operation, alice)

        assert state_of(operation) == "pending"
        assert not Operation.objects.filter(verb="approve").exists()

    def test_the_permission_is_required(self, alice, charlie):
        operation = start(alice)

        with pytest.raises(NotAllowed, match="approve_operation"):
            approve(operation, charlie)
        approve(operation, grant(charlie, "tasks_admin.approve_operation"))

        assert state_of(operation) == "running"

    def test_an_inactive_user_cannot_approve(self, alice, bob):
        operation = start(alice)
        bob.is_active = False

        with pytest.raises(NotAllowed):
            approve(operation, bob)

    def test_an_operation_is_approved_once(self, alice, bob):
        operation = start(alice)
        approve(operation, bob)

        with pytest.raises(WrongState, match=r"is running\. Nothing was changed"):
            approve(operation, bob)

    @pytest.mark.parametrize("verb", [operations.pause, operations.resume])
    def test_pause_and_resume_do_not_bypass_the_approval(self, alice, verb):
        operation = start(alice)

        with pytest.raises(WrongState):
            verb(operation=operation, actor=alice, reason="r")

        assert state_of(operation) == "pending"

    def test_a_pending_operation_can_be_aborted(self, alice, bob):
        operation = start(alice)

        operations.abort(operation=operation, actor=alice, reason="a mistake")
        operations.finish_ended()

        operation.refresh_from_db()
        assert (operation.state, operation.outcome_counts) == ("aborted", {"cancelled": 3})
        with pytest.raises(WrongState):
            approve(operation, bob)
        assert start(alice, 1, "u000").total, "the lock keys of the users are released"

    def test_the_rate_of_a_pending_operation_can_be_limited(self, alice, bob, broker):
        operation = start(alice)
        operations.throttle(operation=operation, actor=alice, reason="r", rate=6)
        approve(operation, bob)

        assert dispatcher.sweep() == 1

    def test_a_pending_operation_does_not_finish_by_itself(self, alice):
        operation = start(alice)
        operation.targets.all().settle("skipped")

        assert operations.finish_ended() == 0


class TestPage:
    """The operation's page shows the state and the button."""

    def test_the_page_after_confirmation_shows_that_it_waits(self, as_user, alice):
        client = as_user(alice)
        page = run_action(client, USERS, "send_reset_email", make_users(3))

        page = client.get(confirm(client, page, USERS).url)

        words = page_text(page)
        assert "It starts when another member of staff approves it" in words
        assert "waiting for approval" in words

    def test_only_other_users_see_the_button(self, as_user, alice, bob):
        operation = start(alice)
        url = operation.get_absolute_url()
        assert b"/approve/" not in as_user(alice).get(url).content
        assert b"/approve/" in as_user(bob).get(url).content

        page = as_user(bob).post(f"{OPERATIONS}{operation.pk}/approve/", {"reason": "r"})

        assert page.url == url
        assert state_of(operation) == "running"

    def test_a_post_of_the_actor_is_forbidden(self, as_user, alice):
        operation = start(alice)

        page = as_user(alice).post(f"{OPERATIONS}{operation.pk}/approve/", {"reason": "r"})

        assert page.status_code == 403
        assert state_of(operation) == "pending"
