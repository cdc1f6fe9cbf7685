"""Tasks of the project have a row from publishing on; a real worker runs them."""

import threading

import pytest
from celery import chord, group, shared_task
from celery.contrib.testing.worker import start_worker
from celery.result import AsyncResult, allow_join_result
from django.db import connections, transaction
from kombu.exceptions import EncodeError

from opsconsole.celery import app
from tasks_admin import dispatcher
from tasks_admin.integrations.mail import smtp
from tasks_admin.models import Result
from tests.support.factories import make_operation, make_users, queued_messages
from tests.support.stack import until

HUNG_UP = threading.Event()


@shared_task(name="tests.add")
def add(*numbers, **more):
    return sum(numbers)


@shared_task(name="tests.total")
def total(numbers):
    return sum(numbers)


@shared_task(name="tests.fails")
def fails(message):
    raise ValueError(message)


@shared_task(name="tests.silent", ignore_result=True)
def unstored():
    return "unused"


@shared_task(name="tests.twice", bind=True, max_retries=2)
def twice(self):
    if not self.request.retries:
        raise self.retry(countdown=0)
    return self.request.retries


@shared_task(name="tests.close_connections", ignore_result=True)
def close_connections():
    """Close the connections of the worker's thread, in that thread."""
    smtp.close()
    connections.close_all()
    HUNG_UP.set()


@pytest.fixture
def worker(broker, transactional_db):
    """A worker of our own app, in a thread, on both queues."""
    with start_worker(app, perform_ping_check=False, queues=["celery", "mail"], loglevel="error"):
        yield broker
        HUNG_UP.clear()
        close_connections.delay()
        assert HUNG_UP.wait(20)


def outcome(result):
    with allow_join_result():
        return result.get(timeout=20, interval=0.05)


class TestPublishing:
    """`.delay()` stores a row, unless the settings or the task disable it."""

    def test_row_has_the_arguments_and_the_queue(self, broker, db):
        result = add.apply_async((1, "zwei"), {"drei": [3]}, queue="elsewhere")

        row = Result.objects.get(task_id=result.id)
        assert (row.status, row.task_name, row.queue) == ("PENDING", "tests.add", "elsewhere")
        assert row.arguments == ("exact", [1, "zwei"], {"drei": [3]})
        assert queued_messages(broker, "elsewhere")[0].id == result.id

    def test_row_has_the_default_queue(self, broker, db):
        assert Result.objects.get(task_id=add.delay(1).id).queue == "celery"

    def test_ignored_result_is_not_stored(self, broker, db):
        unstored.delay()
        add.apply_async((1,), ignore_result=True)

        assert broker.llen("celery") == 2
        assert not Result.objects.exists()

    def test_setting_disables_it(self, broker, db, settings):
        settings.TASKS_ADMIN_STORE_PENDING = False

        add.delay(1)

        assert not Result.objects.exists()

    def test_rollback_removes_the_row_but_not_the_message(self, broker, db):
        with pytest.raises(RuntimeError), transaction.atomic():
            add.delay(1)
            raise RuntimeError

        assert not Result.objects.exists()
        assert broker.llen("celery") == 1

    def test_celery_refuses_arguments_that_are_not_json(self, broker, db, caplog):
        with pytest.raises(EncodeError):
            add.delay(object())

        assert not Result.objects.exists()
        assert not caplog.records

    def test_same_id_again_changes_nothing(self, broker, db):
        for number in (1, 2):
            add.apply_async((number,), task_id="mine")

        assert Result.objects.get().arguments[1] == [1]


@pytest.mark.django_db(transaction=True)
class TestRunning:
    """Celery's own features work on our rows."""

    def test_task_runs_and_its_row_is_complete(self, worker):
        result = add.delay(1, 2)

        assert outcome(result) == 3
        row = Result.objects.get(task_id=result.id)
        assert (row.status, row.queue) == ("SUCCESS", "celery")
        assert row.worker
        assert row.date_created <= row.date_started <= row.date_done
        assert row.arguments == ("exact", [1, 2], {})

    def test_failure_has_its_traceback(self, worker):
        result = fails.delay("why not")

        with pytest.raises(ValueError, match="why not"):
            outcome(result)
        assert "why not" in Result.objects.get(task_id=result.id).traceback

    def test_retry_by_celery(self, worker):
        assert outcome(twice.delay()) == 1
        assert Result.objects.get().status == "SUCCESS"

    def test_group_and_chord(self, worker):
        parts = group(add.s(n, n) for n in range(3)).delay()
        assert outcome(parts) == [0, 2, 4]

        assert outcome(chord([add.s(n) for n in range(5)])(total.s())) == 10

    def test_chord_with_a_failing_task(self, worker):
        with pytest.raises(Exception, match="no"):
            outcome(chord([add.s(1), fails.s("no")])(total.s()))

    def test_task_whose_row_was_rolled_back_is_stored_when_it_runs(self, worker):
        with pytest.raises(RuntimeError), transaction.atomic():
            result = add.delay(20, 22)
            raise RuntimeError

        assert outcome(AsyncResult(result.id)) == 42


@pytest.mark.django_db(transaction=True)
class TestOperation:
    """An operation, from the dispatcher to the outcome, with a real worker and mail server."""

    def test_all_targets_are_done(self, worker, mailbox):
        operation = make_operation(3)
        dispatcher.sweep()

        until(lambda: operation.counts() == {"done": 3}, "three outcomes", 30)
        dispatcher.sweep()
        operation.refresh_from_db()
        assert operation.is_finished
        assert len(mailbox.messages) == 3
        assert set(Result.objects.values_list("status", flat=True)) == {"SUCCESS"}

    def test_task_of_another_program(self, worker, mailbox):
        (user,) = make_users(1)

        result = app.send_task("tasks_admin.send_reset_email", [user.pk])

        assert outcome(result)["outcome"] == "done"
        assert mailbox.recipients == [user.email]

    def test_message_delivered_twice_sends_one_email(self, worker, mailbox):
        operation = make_operation(1)
        dispatcher.sweep()
        until(lambda: operation.counts() == {"done": 1}, "an outcome", 30)
        again = operation.targets.get()

        app.send_task("tasks_admin.send_reset_email", [int(again.subject)], task_id=again.task_id)
        outcome(add.apply_async((1,), queue="mail"))

        assert len(mailbox.messages) == 1
        assert Result.objects.get(task_id=again.task_id).status == "SUCCESS"
