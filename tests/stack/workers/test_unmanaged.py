"""Unmanaged workers, and the queues that only one worker consumes."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from celery.contrib.testing.worker import start_worker

from tasks_admin import queues, workers
from tasks_admin.integrations import control
from tasks_admin.integrations.control import Snapshot, WorkerView, snapshots, unmanaged
from tasks_admin.lib.errors import WrongArguments
from tasks_admin.management import rows
from tasks_admin.models import Operation
from tests.stack.workers.test_heartbeats import make_worker
from tests.support.pages import OPERATIONS, WORKERS, page_text
from tests.support.stack import until

pytestmark = pytest.mark.django_db
CODE = """
import pathlib, sys, time
from celery import Celery
app = Celery("other", broker=sys.argv[1])
@app.task(name="other.wait_for_file")
def wait_for_file(path):
    while not pathlib.Path(path).exists(): time.sleep(0.1)
app.worker_main(["worker", "-n", "other@there", "-Q", "theirs", "-c", "2", "--loglevel=error"])
"""


@pytest.fixture(autouse=True)
def forgetful():
    """A snapshot is kept for two seconds."""
    control.clear_cache()
    queues.clear_cache()
    unmanaged.discovered_workers.__init__()
    yield
    unmanaged.discovered_workers.__init__()
    control.clear_cache()
    queues.clear_cache()


@pytest.fixture
def unmanaged_worker(broker, valkey, tmp_path):
    """A real worker of an app without the console; the path of its log."""
    # With the variable, Celery would set up Django, and with it the console.
    environment = {name: v for name, v in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    command = [sys.executable, "-c", CODE, valkey]
    log = tmp_path / "worker.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, env=environment, start_new_session=True, stdout=file, stderr=file
        )
    yield log
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.stack
@pytest.mark.django_db(transaction=True)
def test_it_is_there_each_time_and_its_log_is_left_alone(unmanaged_worker, alice):
    """Also where one of ours answers first, and is all that is expected."""
    from opsconsole.celery import app

    def names():
        control.clear_cache()
        return sorted(view.name for view in control.snapshot().workers)

    until(lambda: names() == ["other@there"], "a worker of another app")
    ours = {"perform_ping_check": False, "queues": ["mail"], "hostname": "ours@here"}
    with start_worker(app, **ours):
        make_worker("ours@here")
        unmanaged.discovered_workers.discover()
        assert [names() for _ in range(5)] == [["other@there", "ours@here"]] * 5

    assert unmanaged_worker.read_text().count("KeyError: 'console_snapshot'") == 1
    unmanaged.discovered_workers.__init__()  # as in a new process
    control.clear_cache()
    assert [row["name"] for row in rows.worker_rows(alice, {})] == ["other@there", "ours@here"]


def test_who_is_gone_is_waited_for_once(monkeypatch):
    discovered = unmanaged.discovered_workers
    discovered.names, discovered.discovered_at = {"gone", "theirs"}, time.monotonic()
    discovered.unmanaged = {"theirs"}
    asked = []

    def ask(command, *, expected=(), without=(), **_):
        asked.append((command, sorted(expected), sorted(without)))
        return []

    monkeypatch.setattr(snapshots, "request", ask)
    monkeypatch.setattr(unmanaged, "request", ask)
    snapshots.current_views()
    snapshots.current_views()

    assert asked == [
        ("console_snapshot", ["gone"], ["theirs"]), ("stats", ["theirs"], []),
        ("console_snapshot", [], []),
    ]  # fmt: skip


def test_one_that_has_the_console_now_is_no_unmanaged_worker(monkeypatch):
    unmanaged.discovered_workers.names = unmanaged.discovered_workers.unmanaged = {"w"}
    unmanaged.discovered_workers.discovered_at = time.monotonic()
    make_worker("w")
    reply = {"pool": "prefork", "queues": ["mail"]}
    monkeypatch.setattr(
        snapshots, "request", lambda *_, without, **__: [("w", reply)][len(without) :]
    )

    (view,) = snapshots.current_views()

    assert not view.unmanaged


@pytest.mark.stack
def test_celerys_own_commands_report_the_state(unmanaged_worker, as_user, alice, tmp_path):
    from opsconsole.celery import app

    released = tmp_path / "released"

    def send(task_id, **options):
        arguments = [str(released)]
        app.send_task("other.wait_for_file", arguments, queue="theirs", task_id=task_id, **options)

    def wait_for(condition, description):
        """Wait until the worker's view, read again, fulfils the condition; return the view."""

        def found():
            control.clear_cache()
            views = [view for view in control.snapshot().workers if view.queues]
            return views[0] if views and condition(views[0]) else None

        return until(found, description)

    view = wait_for(lambda view: True, "a worker of another app")
    assert (view.name, view.unmanaged, view.pool, view.processes) == (
        "other@there", True, "prefork", 2,
    )  # fmt: skip
    assert view.queues == ["theirs"]
    send("running")
    view = wait_for(lambda view: view.running, "a running task")
    assert view.running[0]["id"] == "running"
    send("scheduled", countdown=3600)
    view = wait_for(lambda view: view.scheduled, "a scheduled task")
    assert [task["id"] for task in view.scheduled] == ["scheduled"]
    app.control.revoke("scheduled")
    wait_for(lambda view: view.revoked == 1, "a revoked task")

    control.clear_cache()
    page = page_text(as_user(alice).get(WORKERS))
    assert re.search("other@there unmanaged .* prefork × 2 1 ", page)
    page = page_text(as_user(alice).get(f"{WORKERS}other@there/change/"))
    assert "does not have tasks_admin installed" in page
    assert not queues.find("theirs")[0].unconsumed
    queues.pause(name="theirs", actor=alice, reason="r")
    assert [one.name for one in queues.find("theirs")[0].ignoring_pause] == ["other@there"]
    released.touch()


@pytest.mark.parametrize(
    "reply", [None, 7, "x", [], [7], {}, {"pool": 7}, {"pool": {"processes": "x"}}, {"total": [1]}]
)
def test_replies_that_make_no_sense(monkeypatch, reply):
    monkeypatch.setattr(unmanaged, "request", lambda *_, **__: [("w", reply)])

    reply = unmanaged.snapshots(["w"])

    assert snapshots._unmanaged_view("w", reply["w"]).unmanaged


def test_who_leaves_a_question_open_is_not_asked_on(monkeypatch):
    asked = []
    monkeypatch.setattr(unmanaged, "request", lambda command, **_: asked.append(command) or [])

    assert unmanaged.snapshots(["w"]) == {"w": {}}
    assert asked == ["stats"]


class TestTheLastConsumer:
    """A queue loses its last consumer only after confirmation."""

    @pytest.fixture(autouse=True)
    def two(self, broker, settings):
        settings.TASKS_ADMIN_CONTROL_TIMEOUT = 0.05
        known = {"pool": "prefork", "processes": 2}
        views = [
            WorkerView(name="one", queues=["celery", "mail"], **known),
            WorkerView(name="two", queues=["celery"], **known),
        ]
        snapshots._last = Snapshot(workers=views, taken_at=time.monotonic() + 60)

    def send(self, actor, names=("one",), verb="shut_down", confirmed="", **options):
        return workers.send_command(
            verb=verb,
            names=list(names),
            actor=actor,
            reason="r",
            confirmed_queues=confirmed,
            options=options,
        )

    def test_confirmation_is_required(self, alice):
        with pytest.raises(WrongArguments, match="no consumer: mail"):
            self.send(alice)
        with pytest.raises(WrongArguments):
            self.send(alice, confirmed="celery")
        assert not Operation.objects.exists()

        assert self.send(alice, confirmed="mail")

    def test_queue_with_another_consumer(self, alice):
        assert self.send(alice, names=["two"])

    def test_all_consumers(self, alice):
        with pytest.raises(WrongArguments, match="celery,mail"):
            self.send(alice, names=["one", "two"])

        assert self.send(alice, names=["one", "two"], confirmed="celery, mail")

    def test_cancel_consumer(self, alice):
        cancel = {"verb": "cancel_consumer"}
        with pytest.raises(WrongArguments, match="mail"):
            self.send(alice, **cancel, queue="mail")
        snapshots._last.workers[1].queues.append("mail")

        assert self.send(alice, **cancel, queue="mail")

    def test_page_requires_confirmation(self, as_user, alice):
        client, path = as_user(alice), f"{WORKERS}command/shut_down/"

        page = client.post(path, {"name": "one", "reason": "r"})
        assert (
            "These queues would have no consumer: mail. Type their names to confirm."
            in page_text(page)
        )
        done = client.post(path, {"name": "one", "reason": "r", "confirmed_queues": "mail"})

        assert done.url.startswith(OPERATIONS)
