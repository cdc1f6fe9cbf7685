"""Periodic tasks: the heartbeat and schedule of beat, the actions, and the page."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from celery.beat import Scheduler
from django.utils import timezone

from opsconsole.celery import app
from tasks_admin import dispatcher, periodic
from tasks_admin.lib.errors import NotAllowed, WrongState
from tasks_admin.models import Beat, Operation, PeriodicTask, Result
from tasks_admin.periodic import heartbeats
from tests.support.pages import OPERATIONS, PERIODIC, page_text

pytestmark = pytest.mark.django_db
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def client(as_user, alice):
    return as_user(alice)


@pytest.fixture
def schedule():
    """Declare a schedule in the settings."""
    before = app.conf.beat_schedule
    app.conf.beat_schedule = {
        "often": {"task": "tasks_admin.send_notification", "schedule": 60.0, "args": (7,)},
        "odd": {"task": "tests.unregistered", "schedule": 60.0},
        "made up": {"task": "tasks_admin.send_notification", "schedule": 60.0, "args": str},
    }
    yield app.conf.beat_schedule
    app.conf.beat_schedule = before


def find(name):
    return {task.name: task for task in periodic.overview().tasks}.get(name)


def make_row(name="often", *, next_in=60.0, **fields):
    now = timezone.now()
    defaults = {"task": "t", "schedule": "<freq: 1.00 minute>", "last_seen_at": now}
    next_run_at = now + timedelta(seconds=next_in)
    return PeriodicTask.objects.create(name=name, next_run_at=next_run_at, **defaults | fields)


class TestBeat:
    """Beat stores its heartbeat and its schedule."""

    def write(self):
        service = SimpleNamespace(scheduler=Scheduler(app=app, lazy=False))
        heartbeats.HeartbeatThread(service).write()

    def test_entries(self, schedule):
        schedule.pop("made up")

        self.write()
        self.write()

        row = PeriodicTask.objects.get(name="often")
        assert (row.task, row.schedule) == ("tasks_admin.send_notification", "freq: 1.00 minute")
        assert (row.last_run_at, row.runs) == (None, 0)
        assert timedelta(seconds=50) < row.next_run_at - timezone.now() < timedelta(seconds=61)
        assert periodic.overview().beat_online

    def test_failing_scheduler(self, caplog):
        heartbeats.HeartbeatThread(SimpleNamespace()).write()

        assert "was not stored" in caplog.text

    def test_django_celery_beat_has_its_own_tables(self):
        kind = type("DatabaseScheduler", (), {"__module__": "django_celery_beat.schedulers"})

        assert heartbeats._entries(kind()) == []


class TestOverview:
    def test_task_that_beat_has_not_recorded(self, schedule):
        task = find("often")

        expected = ("tasks_admin.send_notification", None, None)
        assert (task.task, task.next_run_at, task.enabled) == expected

    def test_late(self):
        make_row("late", next_in=-600)
        make_row("soon", next_in=-60)

        assert find("late").late
        assert not find("soon").late

    def test_task_of_another_project(self):
        make_row("elsewhere")

        assert find("elsewhere").entry is None

    def test_number_of_queries(self, django_assert_num_queries):
        for number in range(50):
            make_row(f"n{number}")

        with django_assert_num_queries(3):
            periodic.overview()


class TestRun:
    def test_queued_once_with_its_arguments(self, schedule, broker, alice):
        operation = periodic.run(name="often", actor=alice, reason="r")
        dispatcher.sweep()
        dispatcher.sweep()

        target = operation.targets.get()
        assert (target.subject, target.state) == ("often", "queued")
        row = Result.objects.get(task_id=target.task_id)
        assert (row.task_name, row.arguments[1], row.queue) == (
            "tasks_admin.send_notification", [7], "mail",
        )  # fmt: skip
        assert broker.llen("mail") == 1

    @pytest.mark.parametrize(
        ("name", "message"),
        [("unknown", "not known"), ("made up", "not known"), ("odd", "registered")],
    )
    def test_cannot_be_run(self, schedule, alice, name, message):
        with pytest.raises(WrongState, match=message):
            periodic.run(name=name, actor=alice, reason="r")
        assert not Operation.objects.exists()

    def test_task_in_the_settings_cannot_be_disabled(self, schedule, alice):
        with pytest.raises(WrongState, match="settings"):
            periodic.disable(name="often", actor=alice, reason="r")

    @pytest.mark.parametrize("action", [periodic.run, periodic.enable, periodic.disable])
    def test_missing_permission(self, schedule, charlie, action):
        with pytest.raises(NotAllowed):
            action(name="often", actor=charlie, reason="r")


class TestPage:
    def test_beat_never_seen(self, client):
        assert "Celery beat has never been seen" in page_text(client.get(PERIODIC))

    def test_beat_offline(self, client):
        Beat.objects.create(name="b", last_seen_at="2026-01-01T00:00Z")

        assert "Celery beat is not running" in page_text(client.get(PERIODIC))

    def test_the_list(self, client):
        heartbeats.record_heartbeat("b")
        make_row(HOSTILE, next_in=-900)

        page = client.get(PERIODIC)

        assert "late" in page_text(page)
        assert HOSTILE not in page.content.decode()
        assert "Celery beat" not in page_text(page)

    def test_run_now(self, client, schedule):
        text = page_text(client.get(f"{PERIODIC}action/run_periodic/", {"name": "often"}))
        assert "Queues the task once, now" in text

        data = {"name": "often", "reason": "r"}
        done = client.post(f"{PERIODIC}action/run_periodic/", data)

        assert done.url.startswith(OPERATIONS)
        text = page_text(client.get(done.url))
        assert "args [7]" in text

    def test_refusal_is_shown(self, client, schedule):
        data = {"name": "often", "reason": "r"}
        page = client.post(f"{PERIODIC}action/disable_periodic/", data, follow=True)

        assert "Only periodic tasks of django-celery-beat" in page_text(page)

    @pytest.mark.parametrize("verb", ["what", "abort"])
    def test_unknown_action(self, client, verb):
        assert client.get(f"{PERIODIC}action/{verb}/").status_code == 404

    def test_page_of_a_task_redirects_to_the_list(self, client):
        assert client.get(f"{PERIODIC}often/change/").url == PERIODIC
