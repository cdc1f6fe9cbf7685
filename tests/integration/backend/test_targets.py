"""The backend settles targets, and retries after outages of the database."""

import pytest
from celery import shared_task, states
from celery.result import AsyncResult
from django.db import InterfaceError, OperationalError, connection

from opsconsole.celery import app
from tasks_admin.models import Target
from tests.integration.backend.test_backend import request, store
from tests.support.factories import make_target

pytestmark = pytest.mark.django_db


@shared_task(name="tests.late", acks_late=True)
def late():
    """May run again after a crash."""


@shared_task(name="tests.once")
def once():
    """Must not run again after a crash."""


class TestOutages:
    """The database is unavailable for a while."""

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("error", [OperationalError("gone"), InterfaceError("closed")])
    def test_retry_on_a_new_connection(self, error):
        assert app.backend.exception_safe_to_retry(error)

    def test_no_retry_inside_a_transaction(self):
        assert connection.in_atomic_block
        assert not app.backend.exception_safe_to_retry(OperationalError("gone"))

    def test_no_retry_after_other_errors(self):
        assert not app.backend.exception_safe_to_retry(ValueError("ours"))

    @pytest.mark.django_db(transaction=True)
    def test_a_write_is_repeated_until_it_is_stored(self):
        failures = [OperationalError("the database system is starting up")] * 2

        def fail(execute, sql, params, many, context):
            if failures:
                raise failures.pop()
            return execute(sql, params, many, context)

        with connection.execute_wrapper(fail):
            store("a", states.SUCCESS, 1)

        assert not failures
        assert AsyncResult("a").get(timeout=1) == 1


class TestTargets:
    """A target is settled in the transaction that stores the result."""

    @pytest.mark.parametrize(
        ("status", "state", "reason"),
        [("SUCCESS", "done", ""), ("REVOKED", "cancelled", "revoked"), ("RETRY", "queued", ""),
         ("STARTED", "running", "")],
    )  # fmt: skip
    def test_state_of_the_target(self, status, state, reason):
        target = make_target("running", due=60)

        store(target.task_id, status)

        target.refresh_from_db()
        assert (target.state, target.reason) == (state, reason)

    def test_detail_is_the_class_of_the_exception(self):
        target = make_target("running", due=60)

        app.backend.mark_as_failure(
            target.task_id, ValueError("secret@mail.example"), request=request(target.task_id)
        )

        target.refresh_from_db()
        assert (target.state, target.reason, target.detail) == ("failed", "raised", "ValueError")

    def test_outcome_that_the_task_wrote_itself_stays(self):
        target = make_target("running", due=60)
        Target.objects.all().settle("skipped", reason="gone")

        store(target.task_id, states.SUCCESS)

        target.refresh_from_db()
        assert (target.state, target.reason) == ("skipped", "gone")

    def test_older_attempt_has_no_effect(self):
        target = make_target("running", due=60, attempt=2)

        store(target.task_id_of(1), states.SUCCESS)

        target.refresh_from_db()
        assert target.state == "running"

    @pytest.mark.parametrize(
        ("task", "state"), [("tests.late", "waiting"), ("tests.once", "unknown")]
    )
    @pytest.mark.parametrize("kind", ["WorkerLostError", "TimeLimitExceeded"])
    def test_process_that_died(self, task, state, kind):
        target = make_target("running", due=60)
        lost = {"exc_type": kind, "exc_message": ["9"], "exc_module": "billiard.exceptions"}

        app.backend._store_result(
            target.task_id, lost, states.FAILURE, request=request(target.task_id, task=task)
        )

        target.refresh_from_db()
        assert target.state == state
        assert target.crashes == (1 if state == "waiting" else 0)
