"""The result backend: exact arguments, successes that stay, and texts that can be stored."""

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
    """The request of a task, as Celery passes it to the backend."""
    known = {"id": task_id, "task": "tests.once", "args": [1], "kwargs": {}, "hostname": "w@host"}
    return Context(known | {"delivery_info": {"routing_key": "mail"}} | more)


@pytest.fixture(autouse=True)
def clear_result_cache():
    """Celery caches successes by id."""
    app.backend._cache.clear()


def store(task_id, status, result=None, **more):
    more.setdefault("request", request(task_id))
    app.backend.store_result(task_id, result, status, **more)
    return Result.objects.get(task_id=task_id)


def test_settings_select_the_backend():
    assert isinstance(app.backend, DatabaseBackend)


class TestReading:
    """Celery's API and the stock model read our rows."""

    def test_success(self):
        store("a", states.SUCCESS, {"answer": [42, None]})

        result = AsyncResult("a")
        assert (result.state, result.get(timeout=1)) == ("SUCCESS", {"answer": [42, None]})
        assert isinstance(result.date_done, datetime)
        assert (result.args, result.kwargs) == ([1], {})

    def test_failure(self):
        app.backend.mark_as_failure(
            "a", ValueError("no", 1), traceback="trace", request=request("a")
        )

        result = AsyncResult("a")
        assert (result.state, result.traceback) == ("FAILURE", "trace")
        assert isinstance(result.result, ValueError)
        assert result.result.args == ("no", 1)

    def test_stock_model(self):
        store("a", states.SUCCESS, 1)

        row = TaskResult.objects.get(task_id="a")
        assert row.as_dict()["status"] == "SUCCESS"
        assert json.loads(row.result) == 1
        assert row.date_created <= row.date_done

    def test_unknown_id_is_pending(self):
        assert AsyncResult("unknown").state == "PENDING"

    def test_forget(self):
        store("a", states.SUCCESS)

        AsyncResult("a").forget()

        assert not Result.objects.exists()

    def test_large_return_value_is_not_cut(self):
        large = "x" * (MAX_TEXT_LENGTH * 3)

        store("a", states.SUCCESS, large)

        assert AsyncResult("a").get(timeout=1) == large


class TestArguments:
    """Arguments are stored as they were sent."""

    @pytest.mark.parametrize(
        "args",
        [[], [1, 2.5, None, True], ["x" * 5000], [{"a": {"b": {"c": {"d": {"e": 1}}}}}],
         ["…", "\x00", "'", '"', "\ud800"], [[[[[]]]]], [10**30]],
    )  # fmt: skip
    def test_exact(self, args):
        row = store("a", states.SUCCESS, request=request("a", args=args, kwargs={"k": args}))

        assert row.arguments == ("exact", args, {"k": args})

    def test_types_of_kombu(self):
        args = [datetime(2026, 1, 2), uuid4()]

        assert store("a", states.SUCCESS, request=request("a", args=args)).arguments[1] == args

    def test_value_that_is_not_json_is_lossy(self):
        row = store("a", states.SUCCESS, request=request("a", args=[object()]))

        assert row.arguments[0] == "lossy"
        assert row.inexact_reason == "not_json"

    def test_write_without_a_request_keeps_known_values(self):
        store("a", states.STARTED)

        row = store("a", states.FAILURE, request=None)

        assert (row.task_name, row.worker, row.queue) == ("tests.once", "w@host", "mail")
        assert row.arguments == ("exact", [1], {})

    def test_latest_worker_is_stored(self):
        store("a", states.STARTED)
        store("a", states.RETRY)

        row = store("a", states.STARTED, request=request("a", hostname="other@host"))

        assert row.worker == "other@host"

    def test_queue_of_a_task_without_a_row(self):
        assert store("a", states.STARTED).queue == "mail"

    def test_children_are_added_and_the_queue_stays(self):
        child = AsyncResult("child")
        make_result("PENDING", task_id="a", queue="elsewhere")

        task_request = request("a")
        task_request.children.append(child)

        row = store("a", states.SUCCESS, request=task_request)

        assert row.queue == "elsewhere"
        assert AsyncResult("a").children == [child]


class TestOrder:
    """Late and duplicate messages do not replace an outcome by a worse one."""

    @pytest.mark.parametrize("status", ["STARTED", "RETRY", "FAILURE", "REVOKED", "SUCCESS"])
    def test_success_stays(self, status):
        store("a", states.SUCCESS, "first")

        row = store("a", status, {"exc_type": "X", "exc_message": []})

        assert (row.status, json.loads(row.result)) == ("SUCCESS", "first")

    @pytest.mark.parametrize("end", ["FAILURE", "REVOKED"])
    @pytest.mark.parametrize("status", ["STARTED", "RETRY"])
    def test_start_does_not_replace_an_outcome(self, end, status):
        store("a", end)

        assert store("a", status).status == end

    def test_success_replaces_a_failure(self):
        store("a", states.FAILURE)

        assert store("a", states.SUCCESS).status == "SUCCESS"

    def test_success_replaces_a_revocation(self):
        make_result("REVOKED", task_id="a")

        assert store("a", states.SUCCESS).status == "SUCCESS"

    def test_outcome_replaces_a_retry(self):
        store("a", states.STARTED)

        assert store("a", states.RETRY).status == "RETRY"
        assert store("a", states.SUCCESS).status == "SUCCESS"

    def test_times_of_start_and_end(self):
        make_result("PENDING", task_id="a")

        assert store("a", states.STARTED).date_started
        row = store("a", states.SUCCESS)
        assert row.date_created <= row.date_started <= row.date_done


class TestTexts:
    """Texts that a database would refuse are changed so that it can store them."""

    def test_nul_and_lone_surrogates(self):
        app.backend.mark_as_failure(
            "a", ValueError("a\x00b\ud800c"), traceback="t\x00\ud800", request=request("a")
        )

        row = Result.objects.get()
        assert "\x00" not in row.traceback + row.result
        assert (row.traceback + row.result).encode()
        assert row.traceback == "t␀?"
        assert AsyncResult("a").state == "FAILURE"

    def test_two_megabytes_are_cut(self):
        app.backend.mark_as_failure(
            "a", ValueError("x" * 2_000_000), traceback="y" * 2_000_000, request=request("a")
        )

        row = Result.objects.get()
        assert len(row.traceback) < MAX_TEXT_LENGTH + 100
        assert len(row.result) < MAX_TEXT_LENGTH + 500
        assert "(2000000 characters)" in row.traceback
        assert isinstance(AsyncResult("a").result, ValueError)

    def test_long_names_are_cut(self):
        row = store("a", states.STARTED, request=request("a", hostname="w" * 300, task="t" * 300))

        assert (len(row.worker), len(row.task_name)) == (100, 255)

    def test_exception_that_is_not_json(self):
        app.backend.mark_as_failure("a", ValueError(object()), request=request("a"))

        assert AsyncResult("a").state == "FAILURE"
