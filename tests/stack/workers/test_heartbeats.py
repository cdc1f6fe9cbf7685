"""Heartbeats: online, offline and stopped workers, and duplicate names."""

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
from tests.support.stack import WAIT_TIMEOUT, until

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


OVERVIEW = """
control.clear_cache()
rows = [[worker.name, worker.state, worker.replied, worker.view.pool, worker.view.processes,
         worker.view.queues, bool(worker.view.memory), len(worker.view.running)]
        for worker in workers.overview().workers]
print(json.dumps(rows))
"""
#: The shortest times of a snapshot and of `inspect()`, which always waits a second.
SPEED = """
import time
from tasks_admin.integrations.control import snapshots
def seconds(call):
    started = time.monotonic(); call()
    return time.monotonic() - started
inspect = project.app.control.inspect
inspect().active()
names = sorted(view.name for view in snapshots.current_views())
print(json.dumps([names, min(seconds(snapshots.current_views) for _ in range(5)),
                  seconds(lambda: inspect().active())]))
"""
#: Fifty threads read the snapshot while the main thread publishes tasks.
CROWD = """
import threading, time
from tasks_admin.integrations.control import snapshots
control.clear_cache()
broadcasts, reads, errors, published = [], [], [], []
take = snapshots._take
snapshots._take = lambda: broadcasts.append(time.monotonic()) or take()
end = time.monotonic() + %d
def read(app=project.app):
    app.set_current()
    while time.monotonic() < end:
        started = time.monotonic()
        try:
            if len(control.snapshot().workers) != 2: errors.append("a worker is missing")
        except Exception as error: errors.append(repr(error))
        reads.append(time.monotonic() - started)
        time.sleep(0.05)
threads = [threading.Thread(target=read, daemon=True) for _ in range(50)]
for thread in threads: thread.start()
while time.monotonic() < end:
    started = time.monotonic()
    project.noop.apply_async((1,)); published.append(time.monotonic() - started)
    time.sleep(0.05)
for thread in threads: thread.join(60)
snapshots._take = take
gaps = [after - before for before, after in zip(broadcasts, broadcasts[1:])]
print(json.dumps([sum(thread.is_alive() for thread in threads), len(broadcasts), min(gaps),
                  len(reads), max(reads), errors[:3], max(published)]))
"""
#: Seconds for which a crowd of threads reads the snapshot; a minute in `make chaos`.
CROWD_SECONDS = int(os.environ.get("CHAOS_CROWD", "6"))
#: Seconds within which a call returns although a worker does not reply.
MAX_SECONDS = 30


@pytest.mark.stack
def test_real_workers(make_host_project):
    """A worker of each pool; one of them is frozen, and one is shut down."""
    host = make_host_project(BROKER_PASSWORD="hush-hush")
    pools = {"one@here": "prefork", "two@here": "threads", "three@here": "solo"}
    started = {name: host.start_worker("-n", name, "--pool", pool) for name, pool in pools.items()}

    def overview():
        return {name: row for name, *row in host.shell.run_json(OVERVIEW)}

    def wait_for_replies():
        replied = lambda: [row[1] for row in overview().values()] == [True] * 3  # noqa: E731
        until(replied, "the replies of three workers")
        return overview()

    rows = wait_for_replies()
    assert rows["one@here"] == ["online", True, "prefork", 2, ["celery", "mail"], True, 0]
    assert rows["two@here"][:3] == ["online", True, "thread"]
    assert rows["three@here"][:3] == ["online", True, "solo"]

    details = host.shell.evaluate("control.worker_details('one@here')")
    assert "host.noop" in {task["name"] for task in details["tasks"]}
    assert "hush" not in json.dumps(details)
    assert "redis://" in details["broker"]

    names, own, celerys = host.shell.run_json(SPEED)
    assert names == ["one@here", "three@here", "two@here"]
    assert celerys / own > 5  # `make bench` measures the ratio

    os.kill(started["one@here"].pid, signal.SIGSTOP)
    began = time.monotonic()
    rows = {name: row[:2] for name, row in overview().items()}
    assert rows["one@here"] == ["not_responding", False]
    assert rows["two@here"] == rows["three@here"] == ["online", True]
    assert time.monotonic() - began < MAX_SECONDS
    os.kill(started["one@here"].pid, signal.SIGCONT)

    wait_for_replies()
    os.kill(started["one@here"].pid, signal.SIGSTOP)
    hung, broadcasts, gap, reads, longest, errors, published = host.shell.run_json(
        CROWD % CROWD_SECONDS
    )
    os.kill(started["one@here"].pid, signal.SIGCONT)
    assert (hung, errors) == (0, [])
    assert gap >= 2  # at most one broadcast in two seconds
    assert broadcasts <= CROWD_SECONDS / 2 + 1 and reads > 20 * broadcasts
    assert longest < MAX_SECONDS and published < MAX_SECONDS

    started["two@here"].terminate()
    started["two@here"].wait(WAIT_TIMEOUT)
    states = {name: row[0] for name, row in overview().items()}
    assert states == {"one@here": "online", "two@here": "stopped", "three@here": "online"}


def test_overview_without_a_broker(no_broker):
    control.clear_cache()
    make_worker("w", ago=5)

    known = workers.overview()

    (seen,) = known.workers
    assert known.error
    assert (seen.state, seen.view.queues, seen.replied) == ("not_responding", ["mail"], False)
    control.clear_cache()
