"""Reading `meta` and exceptions does not depend on the separators in kombu's JSON."""

import functools
import json
from datetime import UTC, datetime

import kombu.utils.json
import pytest
from celery.result import AsyncResult
from django_celery_results.models import TaskResult

from opsconsole.celery import app
from tasks_admin.backend import store_published
from tasks_admin.models import Result, result_meta
from tasks_admin.models.expressions import ExceptionClass, QueueName
from tests.integration.backend.test_backend import request, store
from tests.support.factories import make_result

pytestmark = pytest.mark.django_db

SPACINGS = {"as kombu": None, "compact": (",", ":"), "wide": (" ,  ", " :  ")}


@pytest.fixture(params=SPACINGS, autouse=True)
def spacing(request, monkeypatch):
    """Let kombu write all JSON with these separators."""
    if separators := SPACINGS[request.param]:
        spaced = functools.partial(json.dumps, separators=separators)
        defaults = (spaced, *kombu.utils.json.dumps.__defaults__[1:])
        monkeypatch.setattr(kombu.utils.json.dumps, "__defaults__", defaults)
        assert separators[0].join("12") in kombu.utils.json.dumps([1, 2])
    app.backend._cache.clear()


def fail(task_id, error):
    app.backend.mark_as_failure(task_id, error, traceback="trace", request=request(task_id))
    return Result.objects.get(task_id=task_id)


class TestQueue:
    """The expression of the index extracts the queue."""

    def queues(self):
        return list(Result.objects.annotate(found=QueueName()).values_list("found", flat=True))

    def test_stored_by_the_publisher(self):
        made = app.amqp.create_task_message("a", "tests.add", (1,), {})
        store_published(
            sender="tests.add", headers=made.headers, body=made.body, routing_key="mail"
        )

        assert self.queues() == ["mail"]

    def test_stored_by_the_worker(self):
        store("a", "SUCCESS", request=request("a", parent_id="p", root_id="r"))

        assert self.queues() == ["mail"]
        row = Result.objects.get()
        assert (row.queue, row.parent, row.root) == ("mail", "p", "r")

    def test_stored_for_a_target(self):
        make_result(queue="mail")

        assert self.queues() == ["mail"]


class TestChildren:
    """Children are added to the existing row, and the queue is kept."""

    def test_in_one_statement(self, django_assert_num_queries):
        make_result("PENDING", task_id="a", queue="far")
        task_request = request("a")
        task_request.children.append(AsyncResult("child"))

        with django_assert_num_queries(1):
            app.backend.store_result("a", 1, "SUCCESS", request=task_request)

        row = Result.objects.get()
        assert (row.queue, row.children) == ("far", ["child"])
        assert AsyncResult("a").children == [AsyncResult("child")]

    def test_a_retry_is_added_and_the_queue_is_kept(self):
        make_result("PENDING", task_id="a", queue="far")

        row = store("a", "RETRY", ValueError("no"), request=request("a", retries=0))

        assert row.queue == "far"
        assert [retry.exception for retry in row.retries] == ["ValueError"]

    def test_values_of_the_project_precede_children(self):
        row = store("a", "SUCCESS", request=request("a", meta={"children": 1, "note": "x"}))

        assert row.meta == '{"queue": "mail", "note": "x", "children": []}'


class TestExceptions:
    """The expression of the index extracts the class."""

    def test_the_class(self):
        fail("a", KeyError("no"))
        store("b", "SUCCESS", {"exc_type": "no exception"})

        found = Result.objects.filter(status="FAILURE").annotate(found=ExceptionClass())
        assert found.get().found == "KeyError"
        assert isinstance(AsyncResult("a").result, KeyError)

    def test_a_crash(self):
        make_result("STARTED", task_id="a")
        Result.objects.all().fail_crashed()

        assert Result.objects.annotate(found=ExceptionClass()).get().found == "WorkerLostError"


class TestStock:
    """django-celery-results reads our rows."""

    def test_a_success(self):
        store("a", "SUCCESS", {"x": 1})

        row = TaskResult.objects.get()
        assert json.loads(row.meta) == {"queue": "mail", "children": []}
        assert json.loads(row.result) == {"x": 1}

    def test_a_failure(self):
        from django_celery_results.backends import DatabaseBackend as Stock

        fail("a", ValueError("no", 1))

        found = Stock(app=app, serializer="json").get_task_meta("a")
        assert isinstance(found["result"], ValueError)
        assert found["result"].args == ("no", 1)


def test_retries_beyond_the_limit_are_not_recorded():
    at = datetime(2026, 1, 2, tzinfo=UTC)

    assert result_meta.retry_value(result_meta.MAX_RETRIES, at=at, exception="E") == {}
    assert result_meta.retry_value(0, at=at, exception="E") == {
        "retried-0": ["2026-01-02T00:00:00+00:00", "E"]
    }
