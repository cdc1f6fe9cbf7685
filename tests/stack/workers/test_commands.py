"""Worker commands to real workers of every pool; Celery's command and Flower confirm the effect."""

import os
import signal

import pytest

from tests.support.flower import Flower
from tests.support.stack import WAIT_TIMEOUT, until

SEND = """
operation = workers.send_command(
    verb={verb!r}, names={names!r}, options={options!r}, **audit)
rows = operation.targets.order_by("subject").values_list("state", "reason", "detail")
print(json.dumps([operation.pk, [list(row) for row in rows]]))
"""
#: Checks a command without a reply as if its time to arrive had passed.
FOLLOW_UP = """
from tasks_admin.workers import commands
commands.SEND_TIMEOUT = 0
commands.follow_up()
"""
SNAPSHOT = """
control.clear_cache()
views = control.snapshot().workers
print(json.dumps({view.name: [view.processes, sorted(view.queues)] for view in views}))
"""
OUTCOMES = """
rows = Target.objects.filter(operation={pk}).order_by("subject")
print(json.dumps([list(row) for row in rows.values_list("state", "reason", "detail")]))
"""
#: The options of each worker.
WORKERS = {
    "one@here": ("--pool", "prefork"),
    "two@here": ("--pool", "threads"),
    "three@here": ("--pool", "solo"),
    "four@here": ("--pool", "prefork", "--autoscale=3,1"),
}
#: Flower does not know the size of these pools; it counts their processes so.
UNKNOWN_SIZES = {"two@here": 0, "three@here": 1}


@pytest.fixture
def host(make_host_project, broker_url):
    """A host project on each broker."""
    return make_host_project(broker=broker_url, HOST_CELERY='{"worker_pool_restarts": true}')


@pytest.fixture
def flower(broker_url):
    flower = Flower(broker_url)
    yield flower
    flower.close()


def flowers_view(flower):
    """Return the processes and queues of each worker as Flower reports them."""
    return {
        name: [
            len(worker["stats"]["pool"].get("processes") or []),
            sorted(queue["name"] for queue in worker["active_queues"]),
        ]
        for name, worker in flower.workers().items()
    }


def own_view(host):
    """Return the same as the console reports it, where Flower knows it."""
    views = host.shell.run_json(SNAPSHOT).items()
    return {name: [UNKNOWN_SIZES.get(name, size), queues] for name, (size, queues) in views}


def test_each_command_has_the_effect_that_it_reports(host, flower):
    started = {name: host.start_worker("-n", name, *options) for name, options in WORKERS.items()}

    def send(verb, *names, **options):
        """Send a command; return the operation's key and its outcomes."""
        return host.shell.run_json(SEND.format(verb=verb, names=list(names), options=options))

    def outcomes(pk):
        return host.shell.run_json(OUTCOMES.format(pk=pk))

    def inspect(command, *names):
        return host.inspect(command, names or WORKERS)

    def pool_size(name):
        return len(inspect("stats", name)[name]["pool"]["processes"])

    until(lambda: host.shell.evaluate("Worker.objects.count()") == 4, "four heartbeats")
    assert len(inspect("ping")) == 4
    assert send("pool_grow", "one@here", n=2)[1] == [["done", "", "2 → 4"]]
    until(lambda: pool_size("one@here") == 4, "a pool of 4")
    assert send("pool_shrink", "one@here", n=1)[1] == [["done", "", "4 → 3"]]
    assert send("pool_shrink", "one@here", n=9)[1][0][:2] == ["failed", "command_refused"]
    until(lambda: pool_size("one@here") == 3, "a pool of 3")
    assert send("autoscale", "four@here", min=2, max=5)[1] == [["done", "", "1-3 → 2-5"]]
    assert send("cancel_consumer", "two@here", queue="mail")[1] == [
        ["done", "", "celery, mail → celery"]
    ]
    assert [queue["name"] for queue in inspect("active_queues", "two@here")["two@here"]] == [
        "celery"
    ]
    assert send("add_consumer", "two@here", queue="mail")[1][0][0] == "done"
    everyone = list(WORKERS)
    task = {"task_name": "host.noop"}
    limited = send("rate_limit", *everyone, **task, rate_limit="7/m")[1]
    assert limited == [["done", "", "None → 7/m"]] * 4
    assert all(
        "rate_limit=7/m" in next(task for task in tasks if task.startswith("host.noop"))
        for tasks in inspect("registered").values()
    )
    assert send("time_limit", "three@here", **task, soft=5, hard=9)[1] == [
        ["done", "", "None / None → 5 / 9"]
    ]
    assert send("enable_events", *everyone)[1] == [["done", "", "False → True"]] * 4
    assert send("disable_events", *everyone)[1] == [["done", "", "True → False"]] * 4
    assert send("pool_restart", "one@here")[1][0][0] == "done"

    until(  # a pool that was restarted, or scales itself, may change at this moment
        lambda: flowers_view(flower) == own_view(host),
        lambda: f"the same view in Flower: {flowers_view(flower)}, {own_view(host)}",
    )

    os.kill(started["one@here"].pid, signal.SIGSTOP)
    pk, outcome = send("pool_grow", "one@here", n=1)
    assert outcome == [["unknown", "no_reply", ""]]
    os.kill(started["one@here"].pid, signal.SIGCONT)
    until(lambda: outcomes(pk)[0][0] != "unknown", "the late reply")
    state, _reason, detail = outcomes(pk)[0]
    assert state == "done"
    before, after = map(int, detail.split(" → "))
    assert after == before + 1
    until(lambda: pool_size("one@here") == after, "a pool of one more")

    os.kill(started["four@here"].pid, signal.SIGSTOP)
    pk, outcome = send("enable_events", "four@here")
    assert outcome == [["unknown", "no_reply", ""]]
    os.killpg(started["four@here"].pid, signal.SIGKILL)
    started["four@here"].wait()
    host.start_worker("-n", "four@here")

    def not_delivered():
        host.shell.run(FOLLOW_UP)
        return outcomes(pk) == [["failed", "not_delivered", ""]]

    until(not_delivered, "the reply of the restarted worker that it did not run the command")

    pk, _outcome = send("shut_down", "three@here")
    until(lambda: outcomes(pk) == [["done", "", ""]], "the end of the worker")
    started["three@here"].wait(WAIT_TIMEOUT)
    assert "three@here" not in inspect("ping", "one@here", "two@here", "four@here")
