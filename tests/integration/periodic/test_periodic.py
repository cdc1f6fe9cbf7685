"""Periodic tasks: what beat told of them, and what is said when it tells nothing."""

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
    """What the project declares."""
    before = app.conf.beat_schedule
    app.conf.beat_schedule = {
        "often": {"task": "tasks_admin.send_notification", "schedule": 60.0, "args": (7,)},
        "odd": {"task": "tests.nobody-registered-it", "schedule": 60.0},
        "made up": {"task": "tasks_admin.send_notification", "schedule": 60.0, "args": str},
    }
    yield app.conf.beat_schedule
    app.conf.beat_schedule = before


def told(name):
    return {seen.name: seen for seen in periodic.overview().tasks}.get(name)


def make_row(name="often", *, next_in=60.0, **fields):
    now = timezone.now()
    known = {"task": "t", "schedule": "<freq: 1.00 minute>", "last_seen_at": now}
    next_at = now + timedelta(seconds=next_in)
    return PeriodicTask.objects.create(name=name, next_at=next_at, **known | fields)


class TestBeat:
    """Beat writes down what its schedule says."""

    def tick(self):
        service = SimpleNamespace(scheduler=Scheduler(app=app, lazy=False))
        heartbeats.Ticking(service).write()

    def test_its_entries(self, schedule):
        schedule.pop("made up")

        self.tick()
        self.tick()

        row = PeriodicTask.objects.get(name="often")
        assert (row.task, row.schedule) == ("tasks_admin.send_notification", "freq: 1.00 minute")
        assert (row.last_at, row.runs) == (None, 0)
        assert timedelta(seconds=50) < row.next_at - timezone.now() < timedelta(seconds=61)
        assert periodic.overview().beating

    def test_a_scheduler_that_fails_does_not_harm_it(self, caplog):
        heartbeats.Ticking(SimpleNamespace()).write()

        assert "was not stored" in caplog.text

    def test_a_schedule_in_tables_is_read_there(self):
        kind = type("DatabaseScheduler", (), {"__module__": "django_celery_beat.schedulers"})

        assert heartbeats._entries(kind()) == []


class TestLooks:
    def test_what_no_beat_has_told_of(self, schedule):
        seen = told("often")

        assert (seen.task, seen.next_at, seen.enabled) == (
            "tasks_admin.send_notification",
            None,
            None,
        )

    def test_what_is_late(self):
        make_row("late", next_in=-600)
        make_row("soon", next_in=-60)

        assert told("late").late
        assert not told("soon").late

    def test_what_a_beat_told_of_that_is_not_declared_here(self):
        make_row("elsewhere")

        assert told("elsewhere").entry is None

    def test_the_cost_does_not_grow(self, django_assert_num_queries):
        for number in range(50):
            make_row(f"n{number}")

        with django_assert_num_queries(3):
            periodic.overview()


class TestRun:
    def test_it_is_queued_once_with_its_arguments(self, schedule, broker, alice):
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
        ("name", "why"),
        [("nobody", "not known"), ("made up", "not known"), ("odd", "no longer registered")],
    )
    def test_what_can_not_be_run(self, schedule, alice, name, why):
        with pytest.raises(WrongState, match=why):
            periodic.run(name=name, actor=alice, reason="r")
        assert not Operation.objects.exists()

    def test_what_stands_in_the_settings_is_not_switched(self, schedule, alice):
        with pytest.raises(WrongState, match="settings"):
            periodic.disable(name="often", actor=alice, reason="r")

    @pytest.mark.parametrize("act", [periodic.run, periodic.enable, periodic.disable])
    def test_each_act_asks_for_its_permission(self, schedule, charlie, act):
        with pytest.raises(NotAllowed):
            act(name="often", actor=charlie, reason="r")


class TestPage:
    def test_without_a_beat(self, client):
        assert "No beat was seen yet" in page_text(client.get(PERIODIC))

    def test_a_beat_that_fell_silent(self, client):
        Beat.objects.create(name="b", last_seen_at="2026-01-01T00:00Z")

        assert "No beat is at work" in page_text(client.get(PERIODIC))

    def test_the_list(self, client):
        heartbeats.sign("b")
        make_row(HOSTILE, next_in=-900)

        page = client.get(PERIODIC)

        assert "late" in page_text(page)
        assert HOSTILE not in page.content.decode()
        assert "No beat" not in page_text(page)

    def test_run_now(self, client, schedule):
        words = page_text(client.get(f"{PERIODIC}action/run_periodic/", {"name": "often"}))
        assert "Queues the task once, now" in words

        data = {"name": "often", "reason": "r"}
        done = client.post(f"{PERIODIC}action/run_periodic/", data)

        assert done.url.startswith(OPERATIONS)
        words = page_text(client.get(done.url))
        assert "args [7]" in words

    def test_a_refusal_is_said(self, client, schedule):
        data = {"name": "often", "reason": "r"}
        page = client.post(f"{PERIODIC}action/disable_periodic/", data, follow=True)

        assert "django-celery-beat lets periodic tasks" in page_text(page)

    @pytest.mark.parametrize("verb", ["what", "abort"])
    def test_other_acts_there_are_none(self, client, verb):
        assert client.get(f"{PERIODIC}action/{verb}/").status_code == 404

    def test_there_is_no_page_of_one(self, client):
        assert client.get(f"{PERIODIC}often/change/").url == PERIODIC
