"""Rows: one statement per result, in any order, with any clocks, and after outages."""

import json
import threading
import time
from datetime import timedelta

import pytest
from celery.app.task import Context
from celery.result import AsyncResult
from django.db import OperationalError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_celery_results.models import TaskResult

from opsconsole.celery import app
from tasks_admin.backend import rows
from tasks_admin.integrations import database
from tasks_admin.models import Result
from tasks_admin.tasks import TargetTask, housekeep
from tests.integration.backend.test_backend import request, store
from tests.support.factories import make_result

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def clear_result_cache():
    app.backend._cache.clear()


def require_postgresql():
    if connection.vendor != "postgresql":
        pytest.skip("requires PostgreSQL; tests/stack/backend/test_on_postgresql.py runs it")


class TestStatements:
    """The number of SQL statements per result."""

    def test_one_for_an_existing_row(self):
        make_result("PENDING", task_id="a")

        with CaptureQueriesContext(connection) as queries:
            app.backend.store_result("a", 1, "SUCCESS", request=request("a"))

        assert len(queries) == 1

    def test_one_for_a_result_with_children(self):
        make_result("PENDING", task_id="a", queue="far")
        task_request = request("a")
        task_request.children.append(AsyncResult("child"))

        with CaptureQueriesContext(connection) as queries:
            app.backend.store_result("a", 1, "SUCCESS", request=task_request)

        assert len(queries) == 1
        assert Result.objects.get().queue == "far"
        assert AsyncResult("a").children == [AsyncResult("child")]

    @pytest.mark.parametrize("task_request", [request("a"), None])
    def test_two_without_a_row(self, task_request):
        with CaptureQueriesContext(connection) as queries:
            app.backend.store_result("a", 1, "SUCCESS", request=task_request)

        assert len(queries) == 2
        assert AsyncResult("a").get(timeout=1) == 1

    def test_missing_arguments_are_added(self):
        store("a", "PROGRESS", request=None)

        assert store("a", "SUCCESS").arguments == ("exact", [1], {})

    def test_one_before_a_task_of_the_project_starts(self, django_assert_num_queries):
        with django_assert_num_queries(1):  # the lookup of the revocation
            TargetTask().before_start("0b4b5a3e-just-an-id", (), {})

    def test_asynchronous_commit(self, settings):
        require_postgresql()
        settings.TASKS_ADMIN_RESULTS_DURABLE = False
        make_result("PENDING", task_id="a")

        with CaptureQueriesContext(connection) as queries:
            app.backend.store_result("a", 1, "SUCCESS", request=request("a"))

        assert "synchronous_commit" in queries[0]["sql"]
        assert Result.objects.get().status == "SUCCESS"
        with connection.cursor() as cursor:
            cursor.execute("SHOW synchronous_commit")
            assert cursor.fetchone() == ("on",)


def test_result_of_a_task_whose_publisher_has_an_open_transaction():
    """The task finishes before the publisher commits the row."""
    stored = threading.Event()

    def work():
        app.backend.store_result("a", 42, "SUCCESS", request=request("a"))
        connections.close_all()
        stored.set()

    with transaction.atomic():
        make_result("PENDING", task_id="a")
        worker = threading.Thread(target=work)
        worker.start()
        assert not stored.wait(0.3)
    worker.join(20)

    assert Result.objects.get().status == "SUCCESS"
    assert AsyncResult("a").get(timeout=1) == 42


class TestTimes:
    """The clocks of hosts may differ, and may be set back."""

    def finish(self, started_at, **fields):
        make_result("PENDING", task_id="a", **fields)
        task_request = request("a")
        task_request.console_started_at = started_at
        return store("a", "SUCCESS", request=task_request)

    def test_start_is_stored_with_the_outcome(self):
        started_at = time.monotonic() - 5

        row = self.finish(started_at)

        elapsed = timedelta(seconds=time.monotonic() - started_at)
        assert timedelta(seconds=5) <= row.run_time <= elapsed

    def test_clock_that_was_set_back(self):
        row = self.finish(time.monotonic() + 3600)

        assert row.run_time == timedelta()

    def test_process_that_is_delayed_between_two_times(self, monkeypatch):
        ago = rows._ago
        monkeypatch.setattr(rows, "_ago", lambda *given: time.sleep(0.01) or ago(*given))

        row = self.finish(time.monotonic() + 3600)

        assert row.date_started == row.date_done

    def test_publisher_whose_clock_is_fast(self):
        make_result("PENDING", task_id="a")
        Result.objects.update(date_created=timezone.now() + timedelta(hours=1))
        task_request = request("a")
        task_request.console_started_at = time.monotonic() - 2

        row = store("a", "SUCCESS", request=task_request)

        assert row.queue_time == timedelta()
        assert row.run_time >= timedelta(seconds=2)

    def test_row_that_the_outcome_inserts(self):
        task_request = request("a")
        task_request.console_started_at = time.monotonic() - 2

        row = store("a", "SUCCESS", request=task_request)

        assert row.date_created == row.date_started < row.date_done


class TestIds:
    """A task may have any id; the table can't store all of them."""

    @pytest.mark.parametrize("task_id", ["x" * 255, "a/b/../c?d#e", "ü \u2028'\"%s"])
    def test_storable_id(self, task_id):
        assert store(task_id, "SUCCESS", 1).task_id == task_id
        assert AsyncResult(task_id).state == "SUCCESS"

    @pytest.mark.parametrize("task_id", ["x" * 256, "a\x00b"])
    def test_other_ids_are_logged_and_do_not_fail_the_task(self, task_id, caplog):
        app.backend.store_result(task_id, 1, "STARTED", request=request(task_id))

        assert "the table can't store the id" in caplog.text
        assert not Result.objects.exists()

    @pytest.mark.parametrize("task_id", ["x" * 256, "a\x00b"])
    def test_other_ids_do_not_fail_the_publisher(self, broker, task_id, caplog):
        with transaction.atomic():
            housekeep.apply_async(task_id=task_id, ignore_result=False)
            assert not Result.objects.exists()

        assert not caplog.records


class TestPublishing:
    """Storing a row must not disturb the publisher."""

    def publish_while_unavailable(self):
        def fail(*_):
            raise OperationalError("the database system is shutting down")

        with connection.execute_wrapper(fail):
            housekeep.apply_async(task_id="a", ignore_result=False)

    def test_database_is_unavailable(self, broker, caplog):
        self.publish_while_unavailable()

        assert broker.llen("celery") == 1
        (record,) = caplog.records
        assert (record.levelname, record.exc_info) == ("WARNING", None)

    def test_name_of_the_periodic_task_is_stored(self, broker):
        housekeep.apply_async(
            task_id="a", ignore_result=False, headers={"periodic_task_name": "hourly"}
        )

        assert Result.objects.get().periodic_task_name == "hourly"


class TestDeadConnections:
    """Connections stay open between tasks, and are checked before each task."""

    def test_connection_that_the_server_closed_is_dropped(self):
        require_postgresql()
        connection.ensure_connection()
        raw = connection.connection
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            (pid,) = cursor.fetchone()
        other = connection.copy()
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        other.close()

        database.drop_dead_connections()

        assert connection.connection is not raw
        assert Result.objects.count() == 0

    def test_working_connection_is_kept(self):
        connection.ensure_connection()
        raw = connection.connection

        database.drop_dead_connections()

        assert connection.connection is raw

    def test_connection_in_a_transaction_is_kept(self):
        with transaction.atomic():
            raw = connection.connection
            database.drop_dead_connections()
            assert connection.connection is raw


class TestStockRows:
    """Rows that the stock backend wrote, and rows that it reads."""

    def test_pickled_result(self):
        before = app.backend.serializer, app.backend.encoder, app.backend.accept
        made = type(app.backend)(app=app, serializer="pickle", accept=["pickle", "json"])
        assert before[0] == "json"

        made.store_result("a", {1, 2}, "SUCCESS", request=request("a"))

        assert made.get_task_meta("a")["result"] == {1, 2}
        assert made.get_task_meta("a")["args"] == [1]
        assert Result.objects.get().arguments == ("exact", [1], {})

    @pytest.mark.parametrize("serializer", ["pickle", "yaml", "json"])
    def test_row_of_the_stock_backend(self, serializer):
        if serializer == "yaml":
            pytest.importorskip("yaml")
        from django_celery_results.backends import DatabaseBackend as Stock

        stock = Stock(app=app, serializer=serializer, accept=[serializer, "json"])
        task_request = Context(vars(request("a")) | {"argsrepr": "(1, ...)", "kwargsrepr": "{}"})
        stock.store_result("a", "x", "SUCCESS", request=task_request)
        ours = type(app.backend)(app=app, serializer=serializer, accept=[serializer, "json"])

        assert ours.get_task_meta("a")["result"] == "x"
        assert ours.get_task_meta("a")["args"] == "(1, ...)"
        assert Result.objects.get().arguments[0] in {"lossy", "unreadable"}

    def test_stock_model_reads_meta(self):
        store("a", "SUCCESS", 1)

        assert json.loads(TaskResult.objects.get().meta) == {"queue": "mail", "children": []}
