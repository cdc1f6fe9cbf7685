"""Retries: only failed tasks, only with exact arguments, and each result once."""

import uuid

import pytest
from celery import Task, shared_task
from django.contrib.auth.models import User

from tasks_admin import dispatcher, operations, results
from tasks_admin.lib.errors import NotAllowed, NothingToDo
from tasks_admin.models import Operation, Result, Target
from tests.support.factories import (
    RESET,
    confirmed,
    make_result,
    make_target,
    queued_messages,
    run_concurrently,
)


@shared_task(name="tests.unprotected", base=Task)
def unprotected():
    """A task that is not protected against running twice."""


def retry(actor, *rows, **more):
    chosen = Result.objects.filter(pk__in=[row.pk for row in rows]) if rows else Result.objects
    confirmation = confirmed(more, actor=actor, reason="r")
    return results.retry_failed(results=chosen.all(), confirmation=confirmation, **more)


def exclusion_reason_of(row):
    return results.with_exclusion_reason(Result.objects.filter(pk=row.pk)).get().exclusion_reason


class TestExclusionReason:
    """Every excluded result has a reason."""

    @pytest.mark.parametrize(
        ("row", "exclusion_reason"),
        [
            ({}, ""),
            ({"args": [], "kwargs": {"a": [1]}}, ""),
            ({"status": "SUCCESS"}, "not_failed"),
            ({"status": "PENDING"}, "not_failed"),
            ({"status": "STARTED"}, "not_failed"),
            ({"status": "REVOKED"}, "not_failed"),
            ({"status": "RETRY"}, "retrying"),
            ({"task": "no.such.task"}, "unregistered"),
            ({"task_name": None}, "unregistered"),
            ({"task": "celery.backend_cleanup"}, "unregistered"),
            ({"task": "tests.unprotected"}, "unprotected"),
            ({"task_args": '"(1, 2)"'}, "lossy"),
            ({"task_args": None}, "lossy"),
            ({"task_args": ""}, "lossy"),
            ({"task_kwargs": '"{...}"'}, "lossy"),
            ({"task_kwargs": None}, "lossy"),
        ],
    )
    def test_the_reason_of_a_row(self, db, row, exclusion_reason):
        assert exclusion_reason_of(make_result(**row)) == exclusion_reason

    @pytest.mark.parametrize("state", ["waiting", "queued", "running", "done", "failed", "unknown"])
    def test_retried(self, db, state):
        row = make_result()
        make_target(state, lock_key=f"result:{row.task_id}")

        assert exclusion_reason_of(row) == "retried"

    def test_after_an_aborted_retry_another_is_possible(self, alice):
        row = make_result()
        operation = retry(alice, row)
        assert exclusion_reason_of(row) == "retried"
        operations.abort(operation=operation, actor=alice, reason="r")

        assert exclusion_reason_of(row) == ""

    def test_the_reasons_are_counted(self, db):
        make_result()
        make_result("SUCCESS")
        make_result("SUCCESS")
        make_result(task="no.such.task")

        selection = results.select(Result.objects.all())

        assert selection.excluded == {"not_failed": 2, "unregistered": 1}
        assert selection.fingerprint().startswith("1:")


class TestRetry:
    """One operation, whose targets are the results."""

    def test_a_task_that_cannot_be_retried_is_excluded(self, alice):
        row = make_result()
        make_result("SUCCESS")

        operation = retry(alice)

        assert (operation.total, operation.excluded) == (1, {"not_failed": 1})
        target = operation.targets.get()
        assert (target.subject, target.lock_key) == (row.task_id, f"result:{row.task_id}")

    def test_the_permission_is_required(self, charlie):
        make_result()

        with pytest.raises(NotAllowed):
            retry(charlie)

        assert not Operation.objects.exists()

    def test_an_inactive_user_has_no_permission(self, alice):
        make_result()
        alice.is_active = False

        with pytest.raises(NotAllowed):
            retry(alice)

    def test_a_second_operation_has_nothing_to_do(self, alice, bob):
        row = make_result()
        retry(alice, row)

        with pytest.raises(NothingToDo):
            retry(bob, row)

        assert Target.objects.count() == 1

    def test_overlapping_selections_retry_each_once(self, alice, bob):
        one, both, other = (make_result() for _ in range(3))

        retry(alice, one, both)
        retry(bob, both, other)

        assert sorted(Target.objects.values_list("subject", flat=True)) == sorted(
            row.task_id for row in (one, both, other)
        )

    @pytest.mark.django_db(transaction=True)
    def test_fifty_concurrent_requests_make_one_retry(self):
        row = make_result()
        boss = User.objects.create_superuser("boss")

        outcomes = run_concurrently(50, lambda n: retry(boss, row, key=uuid.uuid4()))

        assert Target.objects.count() == 1
        assert sum(isinstance(outcome, Operation) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, NothingToDo) for outcome in outcomes) == 49, outcomes

    def test_the_original_row_is_unchanged(self, broker, alice):
        row = make_result(args=[1], traceback="trace")
        before = Result.objects.filter(pk=row.pk).values().get()

        retry(alice, row)
        dispatcher.sweep()

        assert Result.objects.filter(pk=row.pk).values().get() == before

    def test_the_new_message_equals_the_old_one(self, broker, alice):
        from opsconsole.celery import app

        old = app.send_task(RESET, [7], {"übung": [1, {"a": None}]})
        (sent,) = queued_messages(broker)
        Result.objects.filter(task_id=old.id).update(status="FAILURE")
        broker.flushall()
        retry(alice)

        dispatcher.sweep()

        (again,) = queued_messages(broker)
        assert (again.args, again.kwargs) == (sent.args, sent.kwargs)
        assert again.headers["task"] == sent.headers["task"]
        assert again.id != sent.id

    def test_an_id_of_255_characters_can_be_retried(self, broker, alice):
        row = make_result(task_id="/é" * 127 + "x")

        retry(alice, row)

        assert dispatcher.sweep() == 1
        assert Target.objects.get().lock_key == f"result:{row.task_id}"
