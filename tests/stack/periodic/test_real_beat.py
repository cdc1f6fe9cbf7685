"""Periodic tasks with a real beat: Celery's own, and django-celery-beat's."""

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.support.host_project import prepare_host, read_runs, start_worker
from tests.support.shell import Shell
from tests.support.stack import ROOT, until

pytestmark = pytest.mark.stack
HEAD = """
import django, json; django.setup()
from django.contrib.auth.models import User
from tasks_admin import dispatcher, periodic
from tasks_admin.lib.errors import ConsoleError
from tests.host import celery_app as project
project.app.set_current()
boss = User.objects.filter(username="boss").first() or User.objects.create_superuser("boss")
who = {"name": "often", "actor": boss, "reason": "r"}
"""
SEEN = """
known = periodic.overview()
task = {task.name: task for task in known.tasks}["often"]
print(json.dumps([known.beat_online, task.task, task.schedule, task.runs, bool(task.last_run_at),
                  bool(task.next_run_at), task.enabled, task.late]))
"""
RUN = """
operation = periodic.run(**who)
dispatcher.sweep()
print(json.dumps(operation.pk))
"""
ENDED = """
from tasks_admin.models import Target
dispatcher.sweep()
print(json.dumps(Target.objects.get(operation=%d).state))
"""
REFUSED = """
try:
    periodic.disable(**who)
except ConsoleError as error:
    print(json.dumps(str(error)))
"""
ENTRY = """
from django_celery_beat.models import IntervalSchedule, PeriodicTask
second = IntervalSchedule.objects.create(every=1, period="seconds")
PeriodicTask.objects.create(name="often", task="host.note", interval=second, args="[5]")
print(json.dumps(True))
"""


@pytest.fixture
def host(tmp_path, valkey):
    """Starts beat and worker; `said` runs code in the host and returns what it printed."""
    processes = []

    class Host:
        log = tmp_path / "runs"

        def settle(self, **more):
            database = f"sqlite:///{tmp_path / 'h.sqlite3'}"
            self.environment = prepare_host(valkey, database, self.log, **more)
            self.shell = Shell(self.environment, HEAD)
            self.said = self.shell.run_json
            processes.append(self.shell.process)

        def beat(self, *options):
            command = [sys.executable, "-m", "celery", "-A", "tests.host.celery_app", "beat"]
            command += ["-s", str(tmp_path / "schedule"), "--pidfile=", *options]
            return self._keep(
                subprocess.Popen(command, cwd=ROOT, env=self.environment, start_new_session=True)
            )

        def work(self):
            return self._keep(start_worker(self.environment, "-n", "one@here"))

        def _keep(self, process):
            processes.append(process)
            return process

    yield Host()
    for process in processes:
        if process.stdin:  # the shell
            process.kill()
            process.communicate()
            continue
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_celerys_own_schedule(host):
    often = {"task": "host.note", "schedule": 3600.0, "args": [5]}
    host.settle(HOST_CELERY=json.dumps({"beat_schedule": {"often": often}}))
    assert host.said(SEEN) == [False, "host.note", "", 0, False, False, None, False]
    host.work()
    host.beat()

    until(
        lambda: (
            host.said(SEEN) == [True, "host.note", "freq: 1.00 hour", 0, False, True, None, False]
        ),
        "beat tells its schedule",
    )
    pk = host.said(RUN)
    until(lambda: host.said(ENDED % pk) == "done", "it ran")
    assert [line[1] for line in read_runs(host.log)] == ["5"]
    assert "declared in the project's settings" in host.said(REFUSED)


def test_a_schedule_that_runs(host):
    often = {"task": "host.note", "schedule": 1.0, "args": [5]}
    host.settle(HOST_CELERY=json.dumps({"beat_schedule": {"often": often}}))
    host.work()
    beat = host.beat()

    until(lambda: host.said(SEEN)[3] > 0 and host.said(SEEN)[4], "beat counts")
    until(lambda: read_runs(host.log), "the worker runs it")
    beat.kill()


@pytest.mark.skipif(
    importlib.util.find_spec("django_celery_beat") is None,
    reason="django-celery-beat is not installed: it does not take this Django yet",
)
def test_django_celery_beat(host):
    """Disabled, nothing is queued any more; run by hand all the same; enabled, it goes on."""
    host.settle(DJANGO_SETTINGS_MODULE="tests.support.beat_settings")
    assert host.said(ENTRY)
    host.work()
    host.beat("-S", "django_celery_beat.schedulers:DatabaseScheduler", "--max-interval", "1")

    until(lambda: len(read_runs(host.log)) > 1, "it runs by itself")
    until(lambda: host.said(SEEN)[0], "beat gave a sign of life")
    beating, task, schedule, _runs, _last, next_at, enabled, late = host.said(SEEN)
    assert (beating, task, schedule) == (True, "host.note", "every second")
    assert (next_at, enabled, late) == (True, True, False)

    host.said("print(json.dumps(periodic.disable(**who).pk))")
    assert host.said(SEEN)[6] is False
    count = until(lambda: _settled(host.log), "beat heard of it")
    pk = host.said(RUN)
    until(lambda: host.said(ENDED % pk) == "done", "it ran by hand")
    assert len(read_runs(host.log)) == count + 1
    host.said("print(json.dumps(periodic.enable(**who).pk))")
    until(lambda: len(read_runs(host.log)) > count + 2, "it runs by itself again")


def _settled(log):
    """How many lines there are, when none comes within four times the schedule."""
    before = len(read_runs(log))
    time.sleep(4)
    return before if len(read_runs(log)) == before else 0
