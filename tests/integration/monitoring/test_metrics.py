"""Metrics: who may look, what is told, and that counters count each result once."""

from datetime import timedelta

import pytest
from django.core.checks import run_checks
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from tasks_admin import checks, queues
from tasks_admin.integrations import control
from tasks_admin.models import Queue, Result, ResultCount, ResultCountCheckpoint
from tasks_admin.results import counters
from tests.conftest import grant
from tests.support.factories import make_operation, make_result
from tests.support.queue_data import add_queue_minutes, publish_messages, set_worker_snapshot

pytestmark = pytest.mark.django_db
TOKEN = "a token that nobody can guess"


@pytest.fixture(autouse=True)
def forgetful(settings):
    settings.TASKS_ADMIN_CONTROL_TIMEOUT = 0.05
    settings.TASKS_ADMIN_METRICS_TOKEN = TOKEN
    control.clear_cache()
    queues.clear_cache()
    yield
    control.clear_cache()
    queues.clear_cache()


def told(client):
    """What Prometheus would read: values by name and labels."""
    page = client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
    assert page.status_code == 200
    families = text_string_to_metric_families(page.content.decode())
    return {
        (sample.name.removeprefix("tasks_admin_"), *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


class TestWhoMayLook:
    @pytest.mark.parametrize(
        ("given", "status"),
        [
            (f"Bearer {TOKEN}", 200), (f"bearer {TOKEN}", 200), ("Bearer wrong", 403),
            ("Bearer ", 403), (f"Basic {TOKEN}", 403), (TOKEN, 403), ("Bearer é", 403),
        ],
    )  # fmt: skip
    def test_by_token(self, client, no_broker, given, status):
        assert client.get("/metrics", headers={"authorization": given}).status_code == status

    @pytest.mark.parametrize("given", ["Bearer ", "Bearer", "Bearer None"])
    def test_without_a_token_none_is_right(self, client, settings, given):
        settings.TASKS_ADMIN_METRICS_TOKEN = ""

        assert client.get("/metrics", headers={"authorization": given}).status_code == 403

    def test_nobody(self, client):
        page = client.get("/metrics")

        assert (page.status_code, page["WWW-Authenticate"]) == (401, "Bearer")

    def test_by_permission(self, as_user, charlie, no_broker):
        assert as_user(charlie).get("/metrics").status_code == 403

        grant(charlie, "tasks_admin.view_metrics")

        assert as_user(charlie).get("/metrics").status_code == 200

    def test_who_is_no_staff(self, as_user, make_user):
        user = grant(make_user(), "tasks_admin.view_metrics")

        assert as_user(user).get("/metrics").status_code == 403

    def test_a_post(self, client):
        assert client.post("/metrics").status_code == 405

    @pytest.mark.parametrize(("token", "found"), [("", 0), ("short", 1), ("x" * 20, 0)])
    def test_a_token_that_can_be_guessed(self, settings, token, found):
        settings.TASKS_ADMIN_METRICS_TOKEN = token

        errors = [one for one in run_checks() if one.id == "tasks_admin.E006"]

        assert len(errors) == len(checks.check_metrics_token()) == found


class TestWhatIsTold:
    def test_queues_workers_and_operations(self, client, broker):
        make_operation(2)
        publish_messages(3)
        Queue.objects.create(name="celery", paused_at=timezone.now(), revision=1)
        set_worker_snapshot(running_count=2, reserved_count=1)

        values = told(client)

        assert values["broker_up",] == 1
        assert values["queue_waiting", "mail"] == 3
        assert values["queue_oldest_seconds", "mail"] >= 0
        assert values["queue_consumers", "mail"] == 1
        assert values["queue_paused", "celery"] == 1
        assert values["workers", "online"] == 1
        assert values["workers", "not_responding"] == 0
        assert (values["tasks_running",], values["tasks_reserved",]) == (2, 1)
        assert values["operations", "running"] == 1
        assert values["dispatchers",] == 0

    @pytest.mark.parametrize("ill", ["no_broker", "unresponsive_broker"])
    def test_what_is_not_known_is_left_out(self, client, request, ill):
        add_queue_minutes((7, 0))
        request.getfixturevalue(ill)

        values = told(client)

        assert values["broker_up",] == 0
        assert ("queue_waiting", "mail") not in values
        assert ("workers", "online") not in values

    def test_names_of_any_kind(self, client, broker):
        set_worker_snapshot(queues=['a"b\\c\nd'])

        assert ("queue_waiting", 'a"b\\c\nd') in told(client)

    def test_openmetrics(self, client, broker):
        headers = {"authorization": f"Bearer {TOKEN}", "accept": "application/openmetrics-text"}

        page = client.get("/metrics", headers=headers)

        assert page["Content-Type"].startswith("application/openmetrics-text")
        assert page.content.endswith(b"# EOF\n")


class TestTallies:
    def ended(self, status="SUCCESS", *, ago, **fields):
        row = make_result(status, task="t", **fields)
        moment = timezone.now() - timedelta(seconds=ago)
        Result.objects.filter(pk=row.pk).update(date_done=moment)

    @pytest.fixture(autouse=True)
    def begun(self):
        """The console began to count five minutes ago."""
        ResultCountCheckpoint.objects.create(pk=1, until=timezone.now() - timedelta(minutes=5))

    def test_each_is_counted_once(self, client, no_broker):
        for _ in range(3):
            self.ended(ago=120)
        self.ended("FAILURE", ago=100)

        assert [counters.count_next(), counters.count_next()] == [4, 0]

        values = told(client)
        assert values["results_total", "SUCCESS", "t"] == 3
        assert values["results_total", "FAILURE", "t"] == 1

    @pytest.mark.parametrize("ago", [10, 3600])
    def test_what_is_too_young_or_was_before(self, ago):
        self.ended(ago=ago)

        assert counters.count_next() == 0

    def test_what_has_no_end(self):
        self.ended("PENDING", ago=120)

        assert counters.count_next() == 0

    def test_they_add_up(self):
        ResultCount.objects.create(task="t", status="SUCCESS", count=7)
        self.ended(ago=120)

        counters.count_next()

        assert ResultCount.objects.get().count == 8

    def test_of_two_who_count_one_does(self, monkeypatch):
        self.ended(ago=120)
        mark = ResultCountCheckpoint.objects.get()
        counters.count_next()
        monkeypatch.setattr(ResultCountCheckpoint.objects, "first", lambda: mark)

        assert counters.count_next() == 0
        assert ResultCount.objects.get().count == 1

    def test_the_first_time_nothing_is_counted(self):
        ResultCountCheckpoint.objects.all().delete()
        self.ended(ago=120)

        assert counters.count_next() == 0
        assert ResultCountCheckpoint.objects.exists()

    def test_after_a_long_absence_some_at_a_time(self):
        ResultCountCheckpoint.objects.update(until=timezone.now() - timedelta(hours=1))
        self.ended(ago=3000)
        self.ended(ago=120)

        counted = [counters.count_next() for _ in range(7)]

        assert sum(counted) == 2
        assert max(counted) == 1

    def test_it_reads_an_index(self):
        for number in range(50):
            self.ended(ago=60 + number)
        with CaptureQueriesContext(connection) as queries:
            counters.count_next()
        sql = next(one["sql"] for one in queries if "COUNT" in one["sql"])
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
            plan = " ".join(str(row) for row in cursor.fetchall())

        assert "SCAN" not in plan
        assert "date_done" in plan
