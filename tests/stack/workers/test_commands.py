"""Commands to real workers of every pool, on each broker, compared with Celery and Flower."""

import contextlib
import json
import os
import signal
import subprocess
import sys

import pytest

from tests.support.flower import Flower
from tests.support.host_project import prepare_host, start_worker
from tests.support.servers import RabbitMQ, Redis
from tests.support.shell import Shell
from tests.support.stack import ROOT, until

SEND_COMMAND = """
import django, json; django.setup()
from django.contrib.auth.models import User
from tasks_admin import workers
from tests.host import celery_app as project
project.app.set_current()
boss = User.objects.filter(username="boss").first() or User.objects.create_superuser("boss")
operation = workers.send_command(
    verb={verb!r}, names={names!r}, actor=boss, reason="r", options={options!r}
)
rows = operation.targets.order_by("subject").values_list("state", "reason", "detail")
print(json.dumps([operation.pk, [list(one) for one in rows]]))
"""
FOLLOW_UP = """
from tasks_admin.workers import commands
commands.SEND_TIMEOUT = 0
commands.follow_up()
"""
POOLS_AND_QUEUES = """
from tasks_admin.integrations import control
control.clear_cache()
workers = control.snapshot().workers
print(json.dumps({one.name: [one.processes, sorted(one.queues)] for one in workers}))
"""
OUTCOMES = """
import django, json; django.setup()
from tasks_admin.models import Target
rows = Target.objects.filter(operation={pk}).order_by("subject")
print(json.dumps([list(one) for one in rows.values_list("state", "reason", "detail")]))
"""


#: `make chaos` adds Debian's Redis, which behaves like Valkey.
ALL_BROKERS = bool(os.environ.get("CHAOS_REDIS"))


@pytest.fixture(
    params=[
        pytest.param("valkey", marks=pytest.mark.stack),
        pytest.param("rabbitmq", marks=pytest.mark.rabbitmq),
        *([pytest.param("redis", marks=pytest.mark.stack)] if ALL_BROKERS else []),
    ]
)
def url(request, tmp_path, valkey):
    if request.param == "valkey":
        yield valkey
        return
    (home := tmp_path / request.param).mkdir()
    node = Redis(home) if request.param == "redis" else RabbitMQ(home)
    yield node.url
    node.close()


def pools_by_flower(workers):
    """Processes and queues of each worker, as Flower reports them."""
    return {
        name: [
            len(one["stats"]["pool"].get("processes") or []),
            sorted(queue["name"] for queue in one["active_queues"]),
        ]
        for name, one in workers.items()
    }


def comparable(workers):
    """Our own report, without the sizes of thread pools, which Flower does not report."""
    without = {"two@here": 0, "three@here": 1}
    return {name: [without.get(name, size), queues] for name, (size, queues) in workers.items()}


def test_real_workers(tmp_path, valkey, url):
    """Celery's own command line and Flower report what the console reports."""
    database = f"sqlite:///{tmp_path / 'h.sqlite3'}"
    environment = prepare_host(valkey, database, tmp_path / "runs")
    environment |= {"CELERY_BROKER_URL": url, "HOST_CELERY": '{"worker_pool_restarts": true}'}
    pools = {"one@here": ("prefork",), "two@here": ("threads",), "three@here": ("solo",)}
    pools["four@here"] = ("prefork", "--autoscale=3,1")
    started = {
        name: start_worker(environment, "-n", name, "--pool", pool, *more)
        for name, (pool, *more) in pools.items()
    }

    shell = Shell(environment, "import django, json; django.setup()")
    run, flower = shell.run_json, Flower(url)

    def send(verb, *names, **options):
        return run(SEND_COMMAND.format(verb=verb, names=list(names), options=options))

    def inspect(what, *names):
        """Celery's command line returns when all named workers have replied."""
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "tests.host.celery_app",
            "inspect",
            what,
            "-j",
        ]
        command += ["-d", ",".join(names or pools)]
        done = subprocess.run(
            [*command, "-t", "20"], cwd=ROOT, env=environment, capture_output=True, text=True,
            timeout=60,
        )  # fmt: skip
        lines = done.stdout.strip().splitlines()
        return json.loads(lines[-1]) if lines else {}  # no worker replied

    def size(name):
        return len(inspect("stats", name)[name]["pool"]["processes"])

    try:
        until(
            lambda: (
                run(
                    "import django, json; django.setup()\nfrom tasks_admin.models import Worker\n"
                    "print(json.dumps(Worker.objects.count()))"
                )
                == 4
            ),
            "four rows",
        )
        assert len(inspect("ping")) == 4
        assert send("pool_grow", "one@here", n=2)[1] == [["done", "", "2 → 4"]]
        until(lambda: size("one@here") == 4, "a pool of 4")
        assert send("pool_shrink", "one@here", n=1)[1] == [["done", "", "4 → 3"]]
        assert send("pool_shrink", "one@here", n=9)[1][0][:2] == ["failed", "command_refused"]
        until(lambda: size("one@here") == 3, "a pool of 3")
        assert send("autoscale", "four@here", min=2, max=5)[1] == [["done", "", "1-3 → 2-5"]]
        assert send("cancel_consumer", "two@here", queue="mail")[1] == [
            ["done", "", "celery, mail → celery"]
        ]
        assert [queue["name"] for queue in inspect("active_queues", "two@here")["two@here"]] == [
            "celery"
        ]
        assert send("add_consumer", "two@here", queue="mail")[1][0][0] == "done"
        everyone = list(pools)
        task = {"task_name": "host.noop"}
        limited = send("rate_limit", *everyone, **task, rate_limit="7/m")[1]
        assert limited == [["done", "", "None → 7/m"]] * 4
        assert all(
            "rate_limit=7/m" in next(one for one in tasks if one.startswith("host.noop"))
            for tasks in inspect("registered").values()
        )
        assert send("time_limit", "three@here", **task, soft=5, hard=9)[1] == [
            ["done", "", "None / None → 5 / 9"]
        ]
        assert send("enable_events", *everyone)[1] == [["done", "", "False → True"]] * 4
        assert send("disable_events", *everyone)[1] == [["done", "", "True → False"]] * 4
        assert send("pool_restart", "one@here")[1][0][0] == "done"

        until(  # a restarted or autoscaled pool is changing at this moment
            lambda: pools_by_flower(flower.workers()) == comparable(run(POOLS_AND_QUEUES)),
            lambda: f"Flower and the console agree: {flower.workers()}, {run(POOLS_AND_QUEUES)}",
        )

        os.kill(started["one@here"].pid, signal.SIGSTOP)
        pk, outcomes = send("pool_grow", "one@here", n=1)
        assert outcomes == [["unknown", "no_reply", ""]]
        os.kill(started["one@here"].pid, signal.SIGCONT)
        later = until(
            lambda: (now := run(OUTCOMES.format(pk=pk)))[0][0] != "unknown" and now,
            "the outcome",
        )
        assert later[0][0] == "done"
        before, after = later[0][2].split(" → ")
        assert int(after) == int(before) + 1
        until(lambda: size("one@here") == int(after), "a pool of one more")

        os.kill(started["four@here"].pid, signal.SIGSTOP)
        pk, outcomes = send("enable_events", "four@here")
        assert outcomes == [["unknown", "no_reply", ""]]
        os.killpg(started["four@here"].pid, signal.SIGKILL)
        started["four@here"].wait()
        started["four@here"] = start_worker(environment, "-n", "four@here")
        until(
            lambda: (
                shell.run(FOLLOW_UP)
                or run(OUTCOMES.format(pk=pk)) == [["failed", "not_delivered", ""]]
            ),
            "the restarted worker reports that it did not run the command",
        )

        pk, outcomes = send("shut_down", "three@here")
        until(lambda: run(OUTCOMES.format(pk=pk)) == [["done", "", ""]], "it stopped")
        started["three@here"].wait(60)
        assert "three@here" not in inspect("ping", "one@here", "two@here", "four@here")
    finally:
        shell.close()
        flower.close()
        for process in started.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
