"""Metrics: access, values, and counters that count each result once."""

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
TOKEN = "a token that is long enough"


@pytest.fixture(autouse=True)
def clear_caches(settings):
    settings.TASKS_ADMIN_CONTROL_TIMEOUT = 0.05
    settings.TASKS_ADMIN_METRICS_TOKEN = TOKEN
    control.clear_cache()
    queues.clear_cache()
    yield
    control.clear_cache()
    queues.clear_cache()


def scrape(client):
    """Return the values by name and labels, as Prometheus reads them."""
    page = client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
    assert page.status_code == 200
    families = text_string_to_metric_families(page.content.decode())
    return {
        (sample.name.removeprefix("tasks_admin_"), *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


class TestAccess:
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
    def test_no_token_is_valid_if_none_is_configured(self, client, settings, given):
        settings.TASKS_ADMIN_METRICS_TOKEN = ""

        assert client.get("/metrics", headers={"authorization": given}).status_code == 403

    def test_anonymous(self, client):
        page = client.get("/metrics")

        assert (page.status_code, page["WWW-Authenticate"]) == (401, "Bearer")

    def test_by_permission(self, as_user, charlie, no_broker):
        assert as_user(charlie).get("/metrics").status_code == 403

        grant(charlie, "tasks_admin.view_metrics")

        assert as_user(charlie).get("/metrics").status_code == 200

    def test_not_staff(self, as_user, make_user):
        user = grant(make_user(), "tasks_admin.view_metrics")

        assert as_user(user).get("/metrics").status_code == 403

    def test_post_is_not_allowed(self, client):
        assert client.post("/metrics").status_code == 405

    @pytest.mark.parametrize(("token", "found"), [("", 0), ("short", 1), ("x" * 20, 0)])
    def test_check_of_a_short_token(self, settings, token, found):
        settings.TASKS_ADMIN_METRICS_TOKEN = token

        errors = [one for one in run_checks() if one.id == "tasks_admin.E006"]

        assert len(errors) == len(checks.check_metrics_token()) == found


class TestValues:
    def test_queues_workers_and_operations(self, client, broker):
        make_operation(2)
        publish_messages(3)
        Queue.objects.create(name="celery", paused_at=timezone.now(), revision=1)
        set_worker_snapshot(running_count=2, reserved_count=1)

        values = scrape(client)

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
    def test_unknown_values_are_omitted(self, client, request, ill):
        add_queue_minutes((7, 0))
        request.getfixturevalue(ill)

        values = scrape(client)

        assert values["broker_up",] == 0
        assert ("queue_waiting", "mail") not in values
        assert ("workers", "online") not in values

    def test_queue_name_of_any_kind(self, client, broker):
        set_worker_snapshot(queues=['a"b\\c\nd'])

        assert ("queue_waiting", 'a"b\\c\nd') in scrape(client)

    def test_openmetrics(self, client, broker):
        headers = {"authorization": f"Bearer {TOKEN}", "accept": "application/openmetrics-text"}

        page = client.get("/metrics", headers=headers)

        assert page["Content-Type"].startswith("application/openmetrics-text")
        assert page.content.endswith(b"# EOF\n")


class TestCounters:
    def finish(self, status="SUCCESS", *, ago, **fields):
        row = make_result(status, task="t", **fields)
        moment = timezone.now() - timedelta(seconds=ago)
        Result.objects.filter(pk=row.pk).update(date_done=moment)

    @pytest.fixture(autouse=True)
    def checkpoint(self):
        """Counting started five minutes ago."""
        ResultCountCheckpoint.objects.create(pk=1, until=timezone.now() - timedelta(minutes=5))

    def test_each_is_counted_once(self, client, no_broker):
        for _ in range(3):
            self.finish(ago=120)
        self.finish("FAILURE", ago=100)

        assert [counters.count_next(), counters.count_next()] == [4, 0]

        values = scrape(client)
        assert values["results_total", "SUCCESS", "t"] == 3
        assert values["results_total", "FAILURE", "t"] == 1

    @pytest.mark.parametrize("ago", [10, 3600])
    def test_too_recent_or_before_the_start(self, ago):
        self.finish(ago=ago)

        assert counters.count_next() == 0

    def test_unfinished_result(self):
        self.finish("PENDING", ago=120)

        assert counters.count_next() == 0

    def test_counts_add_up(self):
        ResultCount.objects.create(task="t", status="SUCCESS", count=7)
        self.finish(ago=120)

        counters.count_next()

        assert ResultCount.objects.get().count == 8

    def test_concurrent_counting(self, monkeypatch):
        self.finish(ago=120)
        mark = ResultCountCheckpoint.objects.get()
        counters.count_next()
        monkeypatch.setattr(ResultCountCheckpoint.objects, "first", lambda: mark)

        assert counters.count_next() == 0
        assert ResultCount.objects.get().count == 1

    def test_first_run_only_sets_the_checkpoint(self):
        ResultCountCheckpoint.objects.all().delete()
        self.finish(ago=120)

        assert counters.count_next() == 0
        assert ResultCountCheckpoint.objects.exists()

    def test_long_pause_is_counted_in_steps(self):
        ResultCountCheckpoint.objects.update(until=timezone.now() - timedelta(hours=1))
        self.finish(ago=3000)
        self.finish(ago=120)

        counted = [counters.count_next() for _ in range(7)]

        assert sum(counted) == 2
        assert max(counted) == 1

    def test_uses_an_index(self):
        for number in range(50):
            self.finish(ago=60 + number)
        with CaptureQueriesContext(connection) as queries:
            counters.count_next()
        sql = next(one["sql"] for one in queries if "COUNT" in one["sql"])
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
            plan = " ".join(str(row) for row in cursor.fetchall())

        assert "SCAN" not in plan
        assert "date_done" in plan
