"""Heartbeats: online, offline and stopped workers, and duplicate names."""

import contextlib
import json
import os
import signal
import threading
import time
import uuid
import warnings
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from tasks_admin import workers
from tasks_admin.integrations import control
from tasks_admin.models import Worker
from tasks_admin.models.workers import HEARTBEAT_TIMEOUT
from tasks_admin.results import lost
from tasks_admin.workers import heartbeats
from tests.support.factories import make_result
from tests.support.host_project import prepare_host, run_python, start_worker
from tests.support.stack import until

pytestmark = pytest.mark.django_db
SNAPSHOT = {"pool": "prefork", "queues": ["mail"]}


def make_worker(name="w", *, ago=0.0, **fields):
    moment = timezone.now() - timedelta(seconds=ago)
    known = {
        "start_id": uuid.uuid4(),
        "started_at": moment,
        "last_seen_at": moment,
        "last_snapshot": SNAPSHOT,
    }
    return Worker.objects.create(name=name, **known | fields)


class TestRecordHeartbeat:
    """One row for each name; a different start is another worker."""

    def record(self, start, **more):
        heartbeats.record_heartbeat("w", start, last_snapshot=SNAPSHOT, rate=None, **more)
        return Worker.objects.get()

    def test_single_worker(self):
        start = uuid.uuid4()

        assert self.record(start, first=True).duplicate_seen_at is None
        assert self.record(start).duplicate_seen_at is None

    def test_killed_and_restarted(self):
        self.record(uuid.uuid4(), first=True)

        row = self.record(new := uuid.uuid4(), first=True)

        assert (row.start_id, row.duplicate_seen_at) == (new, None)

    def test_duplicate_name(self):
        one, other = uuid.uuid4(), uuid.uuid4()
        self.record(one, first=True)
        self.record(other, first=True)

        assert self.record(one).duplicate_seen_at is not None

    def test_duplicate_name_ends(self):
        one, other = uuid.uuid4(), uuid.uuid4()
        self.record(one, first=True)
        self.record(other, first=True)
        Worker.objects.update(
            last_seen_at=timezone.now() - timedelta(seconds=2 * HEARTBEAT_TIMEOUT)
        )

        assert self.record(one).duplicate_seen_at is None


class TestHeartbeatThread:
    """The thread must not disturb the worker."""

    def test_reconnecting_consumer(self):
        queues = SimpleNamespace(consume_from={})
        app = SimpleNamespace(amqp=SimpleNamespace(queues=queues))
        thread = heartbeats.HeartbeatThread(SimpleNamespace(hostname="w@here", app=app))

        thread._record(first=True)

        assert Worker.objects.get().last_snapshot == {}

    def test_fork_waits_for_a_write(self):
        writing, written = threading.Event(), threading.Event()

        def write():
            with heartbeats.write_lock.lock:
                writing.set()
                time.sleep(0.3)
                written.set()

        threading.Thread(target=write).start()
        writing.wait()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python 3.12 warns of forks beside threads
            if not (child := os.fork()):
                os._exit(int(heartbeats.write_lock.lock.locked()))

        assert written.is_set()
        assert os.waitpid(child, 0)[1] == 0
        assert not heartbeats.write_lock.lock.locked()


class TestStates:
    """Which workers are online, and which may still hold tasks."""

    def test_online_and_may_hold_tasks(self):
        make_worker("online")
        make_worker("offline", ago=60)
        make_worker("gone", ago=90_000)
        make_worker("stopped", stopped_at=timezone.now())

        assert control.requests.online() == {"online"}
        assert control.requests.may_hold_tasks() == {"online", "offline"}

    def test_no_task_is_lost_while_a_worker_may_hold_it(self, broker, monkeypatch):
        row = make_result("PENDING", date_created=timezone.now() - timedelta(days=1))
        type(row).objects.update(date_created=timezone.now() - timedelta(days=1))
        make_worker("offline", ago=60)
        monkeypatch.setattr(control.tasks, "request", lambda *args, **more: [("other", {})])
        assert lost.Scanner().scan_next() == 0
        Worker.objects.update(stopped_at=timezone.now())

        assert lost.Scanner().scan_next() == 1

    def test_expired_rows_are_deleted(self, settings):
        settings.TASKS_ADMIN_WORKER_EXPIRES_DAYS = 2
        make_worker("old", ago=3 * 86_400)
        make_worker("young", ago=86_400)

        assert heartbeats.delete_expired() == 1
        assert Worker.objects.get().name == "young"


ROWS = """
import django, json; django.setup()
from tasks_admin import workers
from tests.host import celery_app as project
project.app.set_current()
known = workers.overview()
print(json.dumps([[seen.name, seen.state, seen.replied, seen.view.pool, seen.view.processes,
                   seen.view.queues, bool(seen.view.memory), len(seen.view.running)]
                  for seen in known.workers]))
"""
DETAILS = """
import django, json; django.setup()
from tasks_admin.integrations import control
from tests.host import celery_app as project
project.app.set_current()
print(json.dumps(control.worker_details("one@here")))
"""
SPEED = """
import django, json, time; django.setup()
from tasks_admin.integrations.control import snapshots
from tests.host import celery_app as project
project.app.set_current()
project.app.control.inspect().active()
begun = time.monotonic(); names = [view.name for view in snapshots.current_views()]
ours = time.monotonic() - begun
begun = time.monotonic(); project.app.control.inspect().active()
print(json.dumps([sorted(names), ours, time.monotonic() - begun]))
"""
CROWD = """
import django, json, threading, time; django.setup()
from tasks_admin.integrations import control
from tasks_admin.integrations.control import snapshots
from tests.host import celery_app as project
project.app.set_current()
asked, looked, wrong = [], [], []
take = snapshots._take
snapshots._take = lambda: asked.append(time.monotonic()) or take()
end = time.monotonic() + %d
def look(app=project.app):
    app.set_current()
    while time.monotonic() < end:
        began = time.monotonic()
        try:
            if len(control.snapshot().workers) != 2: wrong.append("one is missing")
        except Exception as error: wrong.append(repr(error))
        looked.append(time.monotonic() - began)
        time.sleep(0.05)
crowd = [threading.Thread(target=look, daemon=True) for _ in range(50)]
for one in crowd: one.start()
queued = []
while time.monotonic() < end:
    began = time.monotonic()
    project.noop.apply_async((1,)); queued.append(time.monotonic() - began)
    time.sleep(0.05)
for one in crowd: one.join(20)
gaps = [b - a for a, b in zip(asked, asked[1:])]
print(json.dumps([sum(one.is_alive() for one in crowd), len(asked), min(gaps), len(looked),
                  max(looked), wrong[:3], max(queued)]))
"""


#: Seconds for which a crowd looks at the workers; a minute in `make chaos`.
CROWDED = int(os.environ.get("CHAOS_CROWD", "6"))


@pytest.mark.stack
class TestRealWorkers:
    """Three pools, one of them stopped, killed, and shut down."""

    @pytest.fixture
    def environment(self, tmp_path, valkey):
        database = f"sqlite:///{tmp_path / 'host.sqlite3'}"
        return prepare_host(valkey, database, tmp_path / "runs", BROKER_PASSWORD="hush-hush")

    @pytest.fixture
    def three(self, environment):
        pools = {"one@here": "prefork", "two@here": "threads", "three@here": "solo"}
        started = {
            name: start_worker(environment, "-n", name, "--pool", pool)
            for name, pool in pools.items()
        }
        yield started
        for process in started.values():
            with contextlib.suppress(ProcessLookupError):  # one was shut down
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def run(self, environment, code=ROWS):
        return json.loads(run_python(code, environment).splitlines()[-1])

    def all_there(self, environment):
        return until(
            lambda: (rows := self.run(environment)) and len(rows) == 3 and rows,
            "three workers",
        )

    def test_a_life(self, environment, three):
        rows = {row[0]: row[1:] for row in self.all_there(environment)}
        assert rows["one@here"] == ["online", True, "prefork", 2, ["celery", "mail"], True, 0]
        assert rows["two@here"][:3] == ["online", True, "thread"]
        assert rows["three@here"][:3] == ["online", True, "solo"]

        details = self.run(environment, DETAILS)
        assert "host.noop" in {task["name"] for task in details["tasks"]}
        assert "hush" not in json.dumps(details)
        assert "redis://" in details["broker"]

        names, ours, stock = self.run(environment, SPEED)
        assert names == ["one@here", "three@here", "two@here"]
        assert stock / ours > 5  # the bench says by how much

        os.kill(three["one@here"].pid, signal.SIGSTOP)
        begun = time.monotonic()
        rows = {row[0]: row[1:3] for row in self.run(environment)}
        assert rows["one@here"] == ["not_responding", False]
        assert rows["two@here"] == rows["three@here"] == ["online", True]
        assert time.monotonic() - begun < 30
        os.kill(three["one@here"].pid, signal.SIGCONT)

        self.all_there(environment)
        os.kill(three["one@here"].pid, signal.SIGSTOP)
        hung, asked, gap, requests, longest, wrong, queued = self.run(environment, CROWD % CROWDED)
        os.kill(three["one@here"].pid, signal.SIGCONT)
        assert (hung, wrong) == (0, [])
        assert gap >= 2  # a broadcast every two seconds at most
        assert asked <= CROWDED / 2 + 1 and requests > 80 * CROWDED
        assert longest < 5 and queued < 5

        three["two@here"].terminate()
        three["two@here"].wait(60)
        rows = {row[0]: row[1] for row in self.run(environment)}
        assert rows == {"one@here": "online", "two@here": "stopped", "three@here": "online"}


def test_overview_without_a_broker(no_broker):
    control.clear_cache()
    make_worker("w", ago=5)

    known = workers.overview()

    (seen,) = known.workers
    assert known.error
    assert (seen.state, seen.view.queues, seen.replied) == ("not_responding", ["mail"], False)
    control.clear_cache()
