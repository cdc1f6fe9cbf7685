"""Rows: one statement a result, whoever comes first, whatever the clocks and the database do."""

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
from django_celery_results.models import ChordCounter, TaskResult

from opsconsole.celery import app
from tasks_admin.backend import rows
from tasks_admin.backend.chords import ChordPart
from tasks_admin.integrations import database
from tasks_admin.models import Result
from tasks_admin.tasks import TargetTask, housekeep
from tests.integration.backend.test_backend import request, store
from tests.support.factories import make_result

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def forgetful():
    app.backend._cache.clear()


def on_postgres():
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no such thing; tests/stack/backend/test_on_postgresql.py runs it")


class TestStatements:
    """What a result costs."""

    def test_one_where_the_row_is_there(self):
        make_result("PENDING", task_id="a")

        with CaptureQueriesContext(connection) as queries:
            app.backend.store_result("a", 1, "SUCCESS", request=request("a"))

        assert len(queries) == 1

    def test_one_also_with_children(self):
        make_result("PENDING", task_id="a", queue="far")
        asked = request("a")
        asked.children.append(AsyncResult("child"))

        with CaptureQueriesContext(connection) as queries:
            app.backend.store_result("a", 1, "SUCCESS", request=asked)

        assert len(queries) == 1
        assert Result.objects.get().queue == "far"
        assert AsyncResult("a").children == [AsyncResult("child")]

    @pytest.mark.parametrize("asked", [request("a"), None])
    def test_two_where_it_is_not(self, asked):
        with CaptureQueriesContext(connection) as queries:
            app.backend.store_result("a", 1, "SUCCESS", request=asked)

        assert len(queries) == 2
        assert AsyncResult("a").get(timeout=1) == 1

    def test_arguments_are_filled_in_where_they_are_missing(self):
        store("a", "PROGRESS", request=None)

        assert store("a", "SUCCESS").arguments == ("exact", [1], {})

    def test_one_by_key_before_a_task_of_the_project_begins(self, django_assert_num_queries):
        with django_assert_num_queries(1):  # was it revoked?
            TargetTask().before_start("0b4b5a3e-just-an-id", (), {})

    def test_without_waiting_for_the_disk(self, settings):
        on_postgres()
        settings.TASKS_ADMIN_RESULTS_DURABLE = False
        make_result("PENDING", task_id="a")

        with CaptureQueriesContext(connection) as queries:
            app.backend.store_result("a", 1, "SUCCESS", request=request("a"))

        assert "synchronous_commit" in queries[0]["sql"]
        assert Result.objects.get().status == "SUCCESS"
        with connection.cursor() as cursor:
            cursor.execute("SHOW synchronous_commit")
            assert cursor.fetchone() == ("on",)


def test_a_publisher_whose_transaction_goes_on_loses_no_result():
    """The worker is done before the row that waits is there for anybody to see."""
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
    """Hosts' clocks disagree, and go backwards."""

    def ended(self, begun, **fields):
        make_result("PENDING", task_id="a", **fields)
        asked = request("a")
        asked.console_started_at = begun
        return store("a", "SUCCESS", request=asked)

    def test_the_start_is_stored_with_the_end(self):
        row = self.ended(time.monotonic() - 5)

        assert timedelta(seconds=5) <= row.run_time < timedelta(seconds=8)

    def test_a_clock_that_went_backwards(self):
        row = self.ended(time.monotonic() + 3600)

        assert row.run_time == timedelta()

    def test_a_process_that_is_held_up_in_between(self, monkeypatch):
        ago = rows._ago
        monkeypatch.setattr(rows, "_ago", lambda *given: time.sleep(0.01) or ago(*given))

        row = self.ended(time.monotonic() + 3600)

        assert row.date_started == row.date_done

    def test_a_publisher_whose_clock_is_ahead(self):
        make_result("PENDING", task_id="a")
        Result.objects.update(date_created=timezone.now() + timedelta(hours=1))
        asked = request("a")
        asked.console_started_at = time.monotonic() - 2

        row = store("a", "SUCCESS", request=asked)

        assert row.queue_time == timedelta()
        assert row.run_time >= timedelta(seconds=2)

    def test_a_row_that_only_the_end_makes(self):
        asked = request("a")
        asked.console_started_at = time.monotonic() - 2

        row = store("a", "SUCCESS", request=asked)

        assert row.date_created == row.date_started < row.date_done


class TestIds:
    """A task may have any id; not every id fits."""

    @pytest.mark.parametrize("task_id", ["x" * 255, "a/b/../c?d#e", "ü \u2028'\"%s"])
    def test_what_fits(self, task_id):
        assert store(task_id, "SUCCESS", 1).task_id == task_id
        assert AsyncResult(task_id).state == "SUCCESS"

    @pytest.mark.parametrize("task_id", ["x" * 256, "a\x00b"])
    def test_what_does_not_is_said_and_harms_no_task(self, task_id, caplog):
        app.backend.store_result(task_id, 1, "STARTED", request=request(task_id))

        assert "the table can't store the id" in caplog.text
        assert not Result.objects.exists()

    @pytest.mark.parametrize("task_id", ["x" * 256, "a\x00b"])
    def test_nor_when_it_is_published(self, broker, task_id, caplog):
        with transaction.atomic():
            housekeep.apply_async(task_id=task_id, ignore_result=False)
            assert not Result.objects.exists()

        assert not caplog.records


class TestPublishing:
    """Storing what is published must not be in anybody's way."""

    def publish_while_away(self):
        def fail(*_):
            raise OperationalError("the database system is shutting down")

        with connection.execute_wrapper(fail):
            housekeep.apply_async(task_id="a", ignore_result=False)

    def test_the_database_is_away(self, broker, caplog):
        self.publish_while_away()

        assert broker.llen("celery") == 1
        (record,) = caplog.records
        assert (record.levelname, record.exc_info) == ("WARNING", None)

    def test_a_periodic_task_says_so(self, broker):
        housekeep.apply_async(
            task_id="a", ignore_result=False, headers={"periodic_task_name": "hourly"}
        )

        assert Result.objects.get().periodic_task_name == "hourly"


class TestFresh:
    """Connections stay open, and are checked before a task may find them cut."""

    def test_one_that_was_cut_is_dropped(self):
        on_postgres()
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

    def test_one_that_works_is_kept(self):
        connection.ensure_connection()
        raw = connection.connection

        database.drop_dead_connections()

        assert connection.connection is raw

    def test_a_transaction_is_left_alone(self):
        with transaction.atomic():
            raw = connection.connection
            database.drop_dead_connections()
            assert connection.connection is raw


class TestChords:
    """Each part counts once."""

    def test_until_the_last(self):
        ChordCounter.objects.create(group_id="g", sub_tasks="[]", count=2)

        assert ChordPart("g").count() is None
        assert ChordPart("g").count().group_id == "g"
        assert not ChordCounter.objects.exists()

    def test_an_answer_that_was_lost_after_the_commit(self):
        on_postgres()
        ChordCounter.objects.create(group_id="g", sub_tasks="[]", count=3)
        part = ChordPart("g")

        for _ in range(2):  # as the backend does after an error
            assert part.count() is None

        assert ChordCounter.objects.get().count == 2

    def test_a_chord_that_nobody_knows(self, caplog):
        assert ChordPart("g").count() is None


class TestStockRows:
    """What the stock backend wrote, and what it would read."""

    def test_pickled_results_of_ours(self):
        before = app.backend.serializer, app.backend.encoder, app.backend.accept
        made = type(app.backend)(app=app, serializer="pickle", accept=["pickle", "json"])
        assert before[0] == "json"

        made.store_result("a", {1, 2}, "SUCCESS", request=request("a"))

        assert made.get_task_meta("a")["result"] == {1, 2}
        assert made.get_task_meta("a")["args"] == [1]
        assert Result.objects.get().arguments == ("exact", [1], {})

    @pytest.mark.parametrize("serializer", ["pickle", "yaml", "json"])
    def test_rows_of_the_stock_backend(self, serializer):
        if serializer == "yaml":
            pytest.importorskip("yaml")
        from django_celery_results.backends import DatabaseBackend as Stock

        stock = Stock(app=app, serializer=serializer, accept=[serializer, "json"])
        asked = Context(vars(request("a")) | {"argsrepr": "(1, ...)", "kwargsrepr": "{}"})
        stock.store_result("a", "x", "SUCCESS", request=asked)
        ours = type(app.backend)(app=app, serializer=serializer, accept=[serializer, "json"])

        assert ours.get_task_meta("a")["result"] == "x"
        assert ours.get_task_meta("a")["args"] == "(1, ...)"
        assert Result.objects.get().arguments[0] in {"lossy", "unreadable"}

    def test_what_the_stock_model_reads(self):
        store("a", "SUCCESS", 1)

        assert json.loads(TaskResult.objects.get().meta) == {"queue": "mail", "children": []}
