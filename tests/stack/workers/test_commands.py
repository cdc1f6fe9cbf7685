"""Orders to real workers of every pool, on each broker; Celery's command line and Flower agree."""

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

ORDER = """
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
AGAIN = """
from tasks_admin.workers import commands
commands.SEND_TIMEOUT = 0
commands.follow_up()
"""
SEEN = """
from tasks_admin.integrations import control
control.clear_cache()
told = control.snapshot().workers
print(json.dumps({one.name: [one.processes, sorted(one.queues)] for one in told}))
"""
LATER = """
import django, json; django.setup()
from tasks_admin.models import Target
rows = Target.objects.filter(operation={pk}).order_by("subject")
print(json.dumps([list(one) for one in rows.values_list("state", "reason", "detail")]))
"""


#: Debian's Redis takes its turn in `make chaos`: it says what Valkey says.
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


def flowers_words(told):
    """Processes and queues of each worker, as Flower tells."""
    return {
        name: [
            len(one["stats"]["pool"].get("processes") or []),
            sorted(queue["name"] for queue in one["active_queues"]),
        ]
        for name, one in told.items()
    }


def flowers_part(told):
    """What we tell, as far as Flower tells it: it knows no processes of a pool of threads."""
    without = {"two@here": 0, "three@here": 1}
    return {name: [without.get(name, size), queues] for name, (size, queues) in told.items()}


def test_real_workers(tmp_path, valkey, url):
    """What Celery's own command line and Flower say is what we say."""
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
    said, flower = shell.run_json, Flower(url)

    def give(verb, *names, **options):
        return said(ORDER.format(verb=verb, names=list(names), options=options))

    def inspect(what, *names):
        """Celery's command line is through when all who are named have answered."""
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
        said = done.stdout.strip().splitlines()
        return json.loads(said[-1]) if said else {}  # nobody answered

    def size(name):
        return len(inspect("stats", name)[name]["pool"]["processes"])

    try:
        until(
            lambda: (
                said(
                    "import django, json; django.setup()\nfrom tasks_admin.models import Worker\n"
                    "print(json.dumps(Worker.objects.count()))"
                )
                == 4
            ),
            "four rows",
        )
        assert len(inspect("ping")) == 4
        assert give("pool_grow", "one@here", n=2)[1] == [["done", "", "2 → 4"]]
        until(lambda: size("one@here") == 4, "a pool of 4")
        assert give("pool_shrink", "one@here", n=1)[1] == [["done", "", "4 → 3"]]
        assert give("pool_shrink", "one@here", n=9)[1][0][:2] == ["failed", "command_refused"]
        until(lambda: size("one@here") == 3, "a pool of 3")
        assert give("autoscale", "four@here", min=2, max=5)[1] == [["done", "", "1-3 → 2-5"]]
        assert give("cancel_consumer", "two@here", queue="mail")[1] == [
            ["done", "", "celery, mail → celery"]
        ]
        assert [queue["name"] for queue in inspect("active_queues", "two@here")["two@here"]] == [
            "celery"
        ]
        assert give("add_consumer", "two@here", queue="mail")[1][0][0] == "done"
        everybody = list(pools)
        task = {"task_name": "host.noop"}
        limited = give("rate_limit", *everybody, **task, rate_limit="7/m")[1]
        assert limited == [["done", "", "None → 7/m"]] * 4
        assert all(
            "rate_limit=7/m" in next(one for one in told if one.startswith("host.noop"))
            for told in inspect("registered").values()
        )
        assert give("time_limit", "three@here", **task, soft=5, hard=9)[1] == [
            ["done", "", "None / None → 5 / 9"]
        ]
        assert give("enable_events", *everybody)[1] == [["done", "", "False → True"]] * 4
        assert give("disable_events", *everybody)[1] == [["done", "", "True → False"]] * 4
        assert give("pool_restart", "one@here")[1][0][0] == "done"

        until(  # a pool that was restarted, or scales itself, changes at this moment
            lambda: flowers_words(flower.workers()) == flowers_part(said(SEEN)),
            lambda: f"one word: {flower.workers()}, {said(SEEN)}",
        )

        os.kill(started["one@here"].pid, signal.SIGSTOP)
        pk, told = give("pool_grow", "one@here", n=1)
        assert told == [["unknown", "no_reply", ""]]
        os.kill(started["one@here"].pid, signal.SIGCONT)
        later = until(
            lambda: (now := said(LATER.format(pk=pk)))[0][0] != "unknown" and now,
            "what became of it",
        )
        assert later[0][0] == "done"
        before, after = later[0][2].split(" → ")
        assert int(after) == int(before) + 1
        until(lambda: size("one@here") == int(after), "a pool of one more")

        os.kill(started["four@here"].pid, signal.SIGSTOP)
        pk, told = give("enable_events", "four@here")
        assert told == [["unknown", "no_reply", ""]]
        os.killpg(started["four@here"].pid, signal.SIGKILL)
        started["four@here"].wait()
        started["four@here"] = start_worker(environment, "-n", "four@here")
        until(
            lambda: (
                shell.run(AGAIN) or said(LATER.format(pk=pk)) == [["failed", "not_delivered", ""]]
            ),
            "the one that was started anew says that it did not do it",
        )

        pk, told = give("shut_down", "three@here")
        until(lambda: said(LATER.format(pk=pk)) == [["done", "", ""]], "it stopped")
        started["three@here"].wait(60)
        assert "three@here" not in inspect("ping", "one@here", "two@here", "four@here")
    finally:
        shell.close()
        flower.close()
        for process in started.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
