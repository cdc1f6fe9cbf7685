"""The control API: one request to all workers at a time, with bounded waiting."""

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

RELEASE = threading.Event()
#: Seconds on a busy machine; without timeouts these calls would never return.
MAX_SECONDS = 30


@shared_task(name="tests.hold", ignore_result=True)
def hold():
    RELEASE.wait(20)


@pytest.fixture(autouse=True)
def clear_snapshot():
    """The process keeps a snapshot for two seconds."""
    control.clear_cache()
    yield
    control.clear_cache()


def close_connections(**_: Any) -> None:
    """Close the database connections of a thread that ends with the worker: Python 3.13 warns."""
    connections.close_all()


@pytest.fixture
def worker(broker, transactional_db):
    """A worker with two threads, on the default queue."""
    RELEASE.clear()
    signals.task_postrun.connect(close_connections)
    with start_worker(
        app, perform_ping_check=False, pool="threads", concurrency=2, queues=["celery"],
        hostname="w1@here",
    ):  # fmt: skip
        yield broker
        RELEASE.set()
    signals.task_postrun.disconnect(close_connections)


def current_workers() -> Any:
    """Return the workers that reply now, without the cached snapshot."""
    control.clear_cache()
    return control.snapshot().workers


@pytest.fixture
def taken(monkeypatch):
    """The snapshots that were taken; a crowd that retried would take several."""
    snapshots = []
    take = control.snapshots._take
    monkeypatch.setattr(
        control.snapshots, "_take", lambda: snapshots.append(take()) or snapshots[-1]
    )
    monkeypatch.setattr(control.snapshots, "CACHE_TTL", MAX_SECONDS)
    return snapshots


pytestmark = pytest.mark.django_db


class TestSnapshot:
    """The state of a worker, in one reply."""

    def test_online_worker(self, worker):
        (view,) = until(current_workers, "the worker replies in time")

        assert (view.name, view.pool, view.processes) == ("w1@here", "thread", 2)
        assert view.queues == ["celery"]
        assert view.uptime >= 0
        assert (view.running, view.reserved, view.scheduled) == ([], [], [])

    def test_running_and_scheduled_tasks(self, worker):
        held = [hold.delay() for _ in range(2)]
        hold.apply_async(countdown=60)

        def busy() -> Any:
            workers = current_workers()
            busy = [view for view in workers if len(view.running) == 2 and view.scheduled]
            return busy[0] if busy else None

        view = until(busy, "two running tasks and a scheduled one")
        assert {task["id"] for task in view.running} == {result.id for result in held}
        assert {task["name"] for task in view.running + view.scheduled} == {"tests.hold"}

    def test_arguments_are_not_included(self, worker):
        hold.apply_async(headers={"x": "secret"}, countdown=60)
        replies = until(lambda: control.request("console_snapshot"), "a reply")

        assert "secret" not in repr(replies)
        assert "redis://" not in repr(replies)

    def test_concurrent_callers_share_a_snapshot(self, worker, taken):
        first = control.snapshot()

        assert all(
            snapshot is first for snapshot in run_concurrently(12, lambda n: control.snapshot())
        )

    def test_concurrent_callers_send_one_request(self, worker, taken):
        outcomes = run_concurrently(12, lambda n: control.snapshot())

        assert len(taken) == 1
        assert len({id(outcome) for outcome in outcomes}) == 1

    def test_no_keys_remain_in_the_broker(self, worker):
        control.snapshot()
        before = set(worker.keys())

        for _ in range(3):
            control.clear_cache()
            control.snapshot()

        assert set(worker.keys()) <= before

    def test_no_connection_of_the_pool_is_used(self, worker):
        run_concurrently(12, lambda n: control.request("ping"))

        assert app.pool._dirty == set()

    def test_no_worker(self, broker):
        assert control.snapshot().workers == []

    def test_invalid_reply(self):
        assert control.parse_snapshot("w", {"ok": "pong"}) is None
        assert control.parse_snapshot("w", {"queues": "celery", "pool": 7}) is None
        assert control.parse_snapshot("w", {"running": [7]}) is None
        assert control.parse_snapshot("w", {"error": "KeyError('console_snapshot')"}).unmanaged
        assert control.parse_snapshot("w", "error") is None
        assert control.parse_snapshot("w", None) is None


def test_endless_replies_are_cut_off(broker, monkeypatch):
    """Any client of the broker can reply, any number of times."""
    replies, stopped = [], threading.Event()

    def reply_forever(control, *_, callback, **__):
        while not stopped.wait(0.01):
            replies.append(callback({f"w{len(replies)}": {}}))

    monkeypatch.setattr(control.requests, "COLLECT_TIMEOUT", 0.2)
    monkeypatch.setattr(Control, "broadcast", reply_forever)

    assert len(control.request("ping", expected=["w"])) == len(replies) + 1


class TestAnyWorkerReplies:
    """Whether any worker is running."""

    def test_returns_with_the_first_reply(self, worker, settings):
        settings.TASKS_ADMIN_CONTROL_TIMEOUT = MAX_SECONDS
        started = time.monotonic()

        assert control.any_worker_replies()
        assert time.monotonic() - started < MAX_SECONDS

    def test_no_worker(self, broker):
        assert not control.any_worker_replies()


class TestFaults:
    """A broker that refuses connections, or never responds."""

    @pytest.mark.parametrize("call", [control.any_worker_replies, control.snapshot])
    def test_closed_port_is_reported_without_waiting(self, no_broker, monkeypatch, call):
        monkeypatch.setattr(control.requests, "PAGE_TIMEOUT", 2 * MAX_SECONDS)
        started = time.monotonic()

        with pytest.raises(BrokerUnreachable, match="does not respond"):
            call()
        assert time.monotonic() - started < MAX_SECONDS

    @pytest.mark.parametrize("call", [control.any_worker_replies, control.snapshot])
    def test_unresponsive_broker(self, unresponsive_broker, call):
        started = time.monotonic()

        with pytest.raises(BrokerUnreachable):
            call()
        assert time.monotonic() - started < MAX_SECONDS

    def test_concurrent_callers_wait_once(self, unresponsive_broker, taken):
        outcomes = run_concurrently(10, lambda n: control.snapshot())

        assert all(isinstance(outcome, BrokerUnreachable) for outcome in outcomes)
        assert len(taken) == 1


def test_command_is_registered():
    from celery.worker.control import Panel

    assert Panel.meta["console_snapshot"].type == "inspect"
    assert isinstance(Control(app), Control)


def test_version_of_the_project(settings):
    settings.TASKS_ADMIN_APP_VERSION = "2026.11"

    assert control.commands._versions()["app"] == "2026.11"
