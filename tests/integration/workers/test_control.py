"""The control door: all workers at once, one question at a time, and never for long."""

import threading
import time
from typing import Any

import pytest
from celery import shared_task, signals
from celery.app.control import Control
from celery.contrib.testing.worker import start_worker
from django.db import connections

from opsconsole.celery import app
from tasks_admin.integrations import control
from tasks_admin.lib.errors import BrokerUnreachable
from tests.support.factories import run_concurrently
from tests.support.stack import until

LET_GO = threading.Event()


@shared_task(name="tests.hold", ignore_result=True)
def hold_on():
    LET_GO.wait(20)


@pytest.fixture(autouse=True)
def forgetful():
    """A snapshot is kept for two seconds."""
    control.clear_cache()
    yield
    control.clear_cache()


def close_connections(**_: Any) -> None:
    """Close the database connections of a thread that ends with the worker: Python 3.13 warns."""
    connections.close_all()


@pytest.fixture
def worker(broker, transactional_db):
    """A worker with two threads, on the default queue."""
    LET_GO.clear()
    signals.task_postrun.connect(close_connections)
    with start_worker(
        app, perform_ping_check=False, pool="threads", concurrency=2, queues=["celery"],
        hostname="w1@here",
    ):  # fmt: skip
        yield broker
        LET_GO.set()
    signals.task_postrun.disconnect(close_connections)


def seen() -> Any:
    """Who answers now, whatever was told a moment ago."""
    control.clear_cache()
    return control.snapshot().workers


pytestmark = pytest.mark.django_db


class TestSnapshot:
    """What a worker says of itself, in one reply."""

    def test_who_is_there(self, worker):
        (view,) = until(seen, "the worker answers in time")

        assert (view.name, view.pool, view.processes) == ("w1@here", "thread", 2)
        assert view.queues == ["celery"]
        assert view.uptime >= 0
        assert (view.running, view.reserved, view.scheduled) == ([], [], [])

    def test_what_it_does(self, worker):
        held = [hold_on.delay() for _ in range(2)]
        hold_on.apply_async(countdown=60)

        def busy() -> Any:
            workers = seen()
            busy = [view for view in workers if len(view.running) == 2 and view.scheduled]
            return busy[0] if busy else None

        view = until(busy, "two running tasks, and one for later")
        assert {task["id"] for task in view.running} == {result.id for result in held}
        assert {task["name"] for task in view.running + view.scheduled} == {"tests.hold"}

    def test_it_tells_no_arguments(self, worker):
        hold_on.apply_async(headers={"x": "secret"}, countdown=60)
        replies = until(lambda: control.request("console_snapshot"), "a reply")

        assert "secret" not in repr(replies)
        assert "redis://" not in repr(replies)

    def test_it_is_kept_for_whoever_asks_meanwhile(self, worker):
        first = control.snapshot()

        assert all(seen is first for seen in run_concurrently(12, lambda n: control.snapshot()))

    def test_twelve_at_once_ask_once(self, worker):
        began = time.monotonic()

        outcomes = run_concurrently(12, lambda n: control.snapshot())

        assert time.monotonic() - began < 6
        assert len({id(outcome) for outcome in outcomes}) == 1

    def test_asking_leaves_nothing_behind(self, worker):
        control.snapshot()
        before = set(worker.keys())

        for _ in range(3):
            control.clear_cache()
            control.snapshot()

        assert set(worker.keys()) <= before

    def test_asking_takes_no_connection_from_the_pool(self, worker):
        run_concurrently(12, lambda n: control.request("ping"))

        assert app.pool._dirty == set()

    def test_nobody_there(self, broker):
        assert control.snapshot().workers == []

    def test_a_reply_of_another_kind_is_passed_over(self):
        assert control.parse_snapshot("w", {"ok": "pong"}) is None
        assert control.parse_snapshot("w", {"queues": "celery", "pool": 7}) is None
        assert control.parse_snapshot("w", {"running": [7]}) is None
        assert control.parse_snapshot("w", {"error": "KeyError('console_snapshot')"}).unmanaged
        assert control.parse_snapshot("w", "error") is None
        assert control.parse_snapshot("w", None) is None


def test_who_never_stops_talking_is_not_listened_to_for_ever(broker, monkeypatch):
    """Whoever can write to the broker can answer, as often as they like."""
    said, talking = [], threading.Event()

    def chatter(control, *_, callback, **__):
        while not talking.wait(0.01):
            said.append(callback({f"w{len(said)}": {}}))

    monkeypatch.setattr(control.requests, "COLLECT_TIMEOUT", 0.2)
    monkeypatch.setattr(Control, "broadcast", chatter)

    assert len(control.request("ping", expected=["w"])) == len(said) + 1


class TestAnybody:
    """Whether there is a worker at all."""

    def test_the_first_answer_is_enough(self, worker):
        began = time.monotonic()

        assert control.any_worker_replies()
        assert time.monotonic() - began < 0.8

    def test_nobody(self, broker):
        assert not control.any_worker_replies()


class TestFaults:
    """A broker that is refused, or never answers."""

    @pytest.mark.parametrize("ask", [control.any_worker_replies, control.snapshot])
    def test_a_closed_port_is_told_at_once(self, no_broker, ask):
        began = time.monotonic()

        with pytest.raises(BrokerUnreachable, match="does not respond"):
            ask()
        assert time.monotonic() - began < 2

    @pytest.mark.parametrize("ask", [control.any_worker_replies, control.snapshot])
    def test_a_mute_one_is_left_in_time(self, unresponsive_broker, ask):
        began = time.monotonic()

        with pytest.raises(BrokerUnreachable):
            ask()
        assert time.monotonic() - began < 4

    def test_ten_who_wait_for_a_mute_one_wait_once(self, unresponsive_broker):
        began = time.monotonic()

        outcomes = run_concurrently(10, lambda n: control.snapshot())

        assert all(isinstance(outcome, BrokerUnreachable) for outcome in outcomes)
        assert time.monotonic() - began < 4


def test_celery_knows_our_command():
    from celery.worker.control import Panel

    assert Panel.meta["console_snapshot"].type == "inspect"
    assert isinstance(Control(app), Control)


def test_the_version_of_the_project_is_told(settings):
    settings.TASKS_ADMIN_APP_VERSION = "2026.11"

    assert control.commands._versions()["app"] == "2026.11"
