"""Periodic tasks with a real beat: Celery's own, and django-celery-beat's."""

import importlib.util
import json
import time
from collections.abc import Callable

import pytest

from tests.support.host_project import APP, HostProject
from tests.support.stack import until

pytestmark = pytest.mark.stack
TASK = """
known = periodic.overview()
task = {task.name: task for task in known.tasks}["often"]
print(json.dumps([known.beat_online, task.task, task.schedule, task.runs, bool(task.last_run_at),
                  bool(task.next_run_at), task.enabled, task.late]))
"""
RUN = """
operation = periodic.run(**audit, name='often')
dispatcher.sweep()
print(json.dumps(operation.pk))
"""
OUTCOME = """
dispatcher.sweep()
print(json.dumps(Target.objects.get(operation=%d).state))
"""
DISABLE_REFUSED = """
try:
    periodic.disable(**audit, name='often')
except Exception as error:
    print(json.dumps(str(error)))
"""
ENTRY = """
from django.core.management import call_command
call_command("migrate", verbosity=0)  # the copied database has no tables of django-celery-beat
from django_celery_beat.models import IntervalSchedule, PeriodicTask
second = IntervalSchedule.objects.create(every=1, period="seconds")
PeriodicTask.objects.create(name="often", task="host.log_run", interval=second, args="[5]")
"""


def start_beat(host: HostProject, *options: str) -> None:
    command = ["-m", "celery", "-A", APP, "beat", "-s", str(host.directory / "schedule")]
    host.start(*command, "--pidfile=", *options)


def make_scheduled(make_host_project: Callable[..., HostProject], seconds: float) -> HostProject:
    """Make a project that runs a task every so many seconds, with a worker and beat."""
    often = {"task": "host.log_run", "schedule": seconds, "args": [5]}
    return make_host_project(HOST_CELERY=json.dumps({"beat_schedule": {"often": often}}))


def wait_for_run(host: HostProject, operation: int) -> None:
    until(lambda: host.shell.run_json(OUTCOME % operation) == "done", "the outcome of the run")


def test_celerys_own_schedule(make_host_project):
    host = make_scheduled(make_host_project, 3600.0)
    assert host.shell.run_json(TASK) == [False, "host.log_run", "", 0, False, False, None, False]
    host.start_worker()
    start_beat(host)

    expected = [True, "host.log_run", "freq: 1.00 hour", 0, False, True, None, False]
    until(lambda: host.shell.run_json(TASK) == expected, "the schedule that beat reports")
    wait_for_run(host, host.shell.run_json(RUN))
    assert [argument for _id, argument, _at in host.runs()] == ["5"]
    assert "declared in the project's settings" in host.shell.run_json(DISABLE_REFUSED)


def test_a_schedule_that_runs(make_host_project):
    host = make_scheduled(make_host_project, 1.0)
    host.start_worker()
    start_beat(host)

    def counted():
        _online, _task, _schedule, runs, last_run, *_ = host.shell.run_json(TASK)
        return runs > 0 and last_run

    until(counted, "the number of runs that beat reports")
    until(host.runs, "a run")


@pytest.mark.skipif(
    importlib.util.find_spec("django_celery_beat") is None,
    reason="django-celery-beat is not installed: it does not support this version of Django yet",
)
def test_django_celery_beat(make_host_project):
    """A disabled task is not queued, except by hand; an enabled one is queued again."""
    host = make_host_project(DJANGO_SETTINGS_MODULE="tests.support.beat_settings")
    host.shell.run(ENTRY)
    host.start_worker()
    start_beat(host, "-S", "django_celery_beat.schedulers:DatabaseScheduler", "--max-interval", "1")

    until(lambda: len(host.runs()) > 1, "two scheduled runs")
    until(lambda: host.shell.run_json(TASK)[0], "a heartbeat of beat")
    _online, task, schedule, _runs, _last, next_run, enabled, late = host.shell.run_json(TASK)
    assert (task, schedule) == ("host.log_run", "every second")
    assert (next_run, enabled, late) == (True, True, False)

    host.shell.run("periodic.disable(**audit, name='often')")
    assert host.shell.run_json(TASK)[6] is False
    count = until(lambda: settled_runs(host), "the last scheduled run")
    wait_for_run(host, host.shell.run_json(RUN))
    assert len(host.runs()) == count + 1
    host.shell.run("periodic.enable(**audit, name='often')")
    until(lambda: len(host.runs()) > count + 2, "two more scheduled runs")


def settled_runs(host: HostProject) -> int:
    """Return the number of runs if none is added in four times the schedule's period, or 0."""
    before = len(host.runs())
    time.sleep(4)
    return before if len(host.runs()) == before else 0
