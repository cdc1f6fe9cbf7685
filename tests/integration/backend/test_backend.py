"""The result backend: exact arguments, a success that stays, and targets settled with it."""

import json
from datetime import datetime
from uuid import uuid4

import pytest
from celery import states
from celery.app.task import Context
from celery.result import AsyncResult
from django_celery_results.models import TaskResult

from opsconsole.celery import app
from tasks_admin.backend import MAX_TEXT_LENGTH, DatabaseBackend
from tasks_admin.models import Result
from tests.support.factories import make_result

pytestmark = pytest.mark.django_db


def request(task_id, **more):
    """What a worker knows of a task, as Celery hands it to the backend."""
    known = {"id": task_id, "task": "tests.once", "args": [1], "kwargs": {}, "hostname": "w@host"}
    return Context(known | {"delivery_info": {"routing_key": "mail"}} | more)


@pytest.fixture(autouse=True)
def forgetful():
    """Celery remembers successes by id."""
    app.backend._cache.clear()


def store(task_id, status, result=None, **more):
    more.setdefault("request", request(task_id))
    app.backend.store_result(task_id, result, status, **more)
    return Result.objects.get(task_id=task_id)


def test_it_is_the_backend():
    assert isinstance(app.backend, DatabaseBackend)


class TestReading:
    """Celery's own API and the stock model read what we wrote."""

    def test_a_success(self):
        store("a", states.SUCCESS, {"answer": [42, None]})

        result = AsyncResult("a")
        assert (result.state, result.get(timeout=1)) == ("SUCCESS", {"answer": [42, None]})
        assert isinstance(result.date_done, datetime)
        assert (result.args, result.kwargs) == ([1], {})

    def test_a_failure(self):
        app.backend.mark_as_failure(
            "a", ValueError("no", 1), traceback="trace", request=request("a")
        )

        result = AsyncResult("a")
        assert (result.state, result.traceback) == ("FAILURE", "trace")
        assert isinstance(result.result, ValueError)
        assert result.result.args == ("no", 1)

    def test_the_stock_model(self):
        store("a", states.SUCCESS, 1)

        row = TaskResult.objects.get(task_id="a")
        assert row.as_dict()["status"] == "SUCCESS"
        assert json.loads(row.result) == 1
        assert row.date_created <= row.date_done

    def test_an_unknown_id_is_pending(self):
        assert AsyncResult("unknown").state == "PENDING"

    def test_forgotten(self):
        store("a", states.SUCCESS)

        AsyncResult("a").forget()

        assert not Result.objects.exists()

    def test_a_large_result_is_the_projects_and_stays_whole(self):
        large = "x" * (MAX_TEXT_LENGTH * 3)

        store("a", states.SUCCESS, large)

        assert AsyncResult("a").get(timeout=1) == large


class TestArguments:
    """They are stored as they were sent."""

    @pytest.mark.parametrize(
        "args",
        [[], [1, 2.5, None, True], ["x" * 5000], [{"a": {"b": {"c": {"d": {"e": 1}}}}}],
         ["…", "\x00", "'", '"', "\ud800"], [[[[[]]]]], [10**30]],
    )  # fmt: skip
    def test_exactly(self, args):
        row = store("a", states.SUCCESS, request=request("a", args=args, kwargs={"k": args}))

        assert row.arguments == ("exact", args, {"k": args})

    def test_types_that_kombu_knows(self):
        args = [datetime(2026, 1, 2), uuid4()]

        assert store("a", states.SUCCESS, request=request("a", args=args)).arguments[1] == args

    def test_what_is_not_json_is_not_pretended_to_be(self):
        row = store("a", states.SUCCESS, request=request("a", args=[object()]))

        assert row.arguments[0] == "lossy"
        assert row.inexact_reason == "not_json"

    def test_a_write_without_a_request_keeps_what_is_known(self):
        store("a", states.STARTED)

        row = store("a", states.FAILURE, request=None)

        assert (row.task_name, row.worker, row.queue) == ("tests.once", "w@host", "mail")
        assert row.arguments == ("exact", [1], {})

    def test_the_worker_is_the_one_that_has_it_now(self):
        store("a", states.STARTED)
        store("a", states.RETRY)

        row = store("a", states.STARTED, request=request("a", hostname="other@host"))

        assert row.worker == "other@host"

    def test_the_queue_is_named_even_where_nobody_saw_the_publishing(self):
        assert store("a", states.STARTED).queue == "mail"

    def test_children_are_kept_beside_the_queue(self):
        child = AsyncResult("child")
        make_result("PENDING", task_id="a", queue="elsewhere")

        asked = request("a")
        asked.children.append(child)

        row = store("a", states.SUCCESS, request=asked)

        assert row.queue == "elsewhere"
        assert AsyncResult("a").children == [child]


class TestOrder:
    """Late and doubled messages change nothing for the worse."""

    @pytest.mark.parametrize("status", ["STARTED", "RETRY", "FAILURE", "REVOKED", "SUCCESS"])
    def test_a_success_stays(self, status):
        store("a", states.SUCCESS, "first")

        row = store("a", status, {"exc_type": "X", "exc_message": []})

        assert (row.status, json.loads(row.result)) == ("SUCCESS", "first")

    @pytest.mark.parametrize("end", ["FAILURE", "REVOKED"])
    @pytest.mark.parametrize("status", ["STARTED", "RETRY"])
    def test_an_end_is_not_undone_by_a_start(self, end, status):
        store("a", end)

        assert store("a", status).status == end

    def test_a_failure_gives_way_to_a_success(self):
        store("a", states.FAILURE)

        assert store("a", states.SUCCESS).status == "SUCCESS"

    def test_what_was_discarded_and_ran_all_the_same_says_so(self):
        make_result("REVOKED", task_id="a")

        assert store("a", states.SUCCESS).status == "SUCCESS"

    def test_a_retry_is_open(self):
        store("a", states.STARTED)

        assert store("a", states.RETRY).status == "RETRY"
        assert store("a", states.SUCCESS).status == "SUCCESS"

    def test_start_and_end_have_their_times(self):
        make_result("PENDING", task_id="a")

        assert store("a", states.STARTED).date_started
        row = store("a", states.SUCCESS)
        assert row.date_created <= row.date_started <= row.date_done


class TestOddities:
    """What a database would refuse is made to fit."""

    def test_nul_and_lone_surrogates(self):
        app.backend.mark_as_failure(
            "a", ValueError("a\x00b\ud800c"), traceback="t\x00\ud800", request=request("a")
        )

        row = Result.objects.get()
        assert "\x00" not in row.traceback + row.result
        assert (row.traceback + row.result).encode()
        assert row.traceback == "t␀?"
        assert AsyncResult("a").state == "FAILURE"

    def test_two_megabytes(self):
        app.backend.mark_as_failure(
            "a", ValueError("x" * 2_000_000), traceback="y" * 2_000_000, request=request("a")
        )

        row = Result.objects.get()
        assert len(row.traceback) < MAX_TEXT_LENGTH + 100
        assert len(row.result) < MAX_TEXT_LENGTH + 500
        assert "(2000000 characters)" in row.traceback
        assert isinstance(AsyncResult("a").result, ValueError)

    def test_names_that_are_too_long(self):
        row = store("a", states.STARTED, request=request("a", hostname="w" * 300, task="t" * 300))

        assert (len(row.worker), len(row.task_name)) == (100, 255)

    def test_an_exception_that_is_no_json(self):
        app.backend.mark_as_failure("a", ValueError(object()), request=request("a"))

        assert AsyncResult("a").state == "FAILURE"
