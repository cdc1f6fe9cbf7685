"""What is promised holds in a storm: short here, in full with `make chaos`."""

import contextlib
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.scenario import Scenario
from tests.support.servers import Postgres, RabbitMQ
from tests.support.stack import Stack, until

COUNT = int(os.environ.get("CHAOS_USERS", "300"))
#: Half-dead mail server, in seconds.
OUTAGE = 10 if COUNT >= 10_000 else 4
in_full = pytest.mark.skipif(COUNT < 10_000, reason="takes minutes: make chaos")
pytestmark = [pytest.mark.stack, pytest.mark.timeout(1500)]


@pytest.fixture(params=["valkey", "rabbitmq"])
def storm(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A console on PostgreSQL and either broker, with many users."""
    with contextlib.ExitStack() as ends:
        postgres = Postgres(tmp_path_factory.mktemp("postgres"))
        ends.callback(postgres.stop)
        environment = {"DATABASE_URL": postgres.url, "SECRET_KEY": "only for storms " * 4}
        rabbitmq = None
        if request.param == "rabbitmq":
            rabbitmq = RabbitMQ(tmp_path_factory.mktemp("rabbitmq"))
            ends.callback(rabbitmq.close)
            environment["CELERY_BROKER_URL"] = rabbitmq.url
        stack = Stack(tmp_path_factory.mktemp("stack"), **environment)
        ends.callback(stack.close)
        prepare(stack, COUNT)
        stack.start(*([] if rabbitmq else ["broker"]), "mail", "web", "worker", "dispatcher")
        stack.ready()
        yield stack, postgres, rabbitmq


def prepare(stack: Stack, users: int) -> None:
    """A database with users in it."""
    stack.manage("migrate", "--verbosity", "0")
    stack.manage("collectstatic", "--noinput", "--verbosity", "0")
    stack.manage("load_demo", "--users", str(users))
    who = ("--username", "admin", "--email", "admin@mail.example")
    stack.manage("createsuperuser", "--noinput", *who)


def eligible(stack: Stack) -> int:
    """How many of the sample users may be mailed."""
    return int(
        stack.evaluate(
            "User.objects.filter(username__startswith='demo-0', is_active=True)"
            ".exclude(email='').exclude(password__startswith='!').count()"
        )
    )


def test_everybody_is_mailed_whatever_is_killed(storm: Any) -> None:
    stack, postgres, rabbitmq = storm
    count = eligible(stack)
    going = Scenario.begin(stack)

    def restart_broker() -> None:
        if rabbitmq:
            rabbitmq.stop()
            rabbitmq.start()
        else:
            stack.kill("broker")
            stack.start("broker")

    def restart_postgres() -> None:
        postgres.stop()
        time.sleep(3)
        postgres.start()

    going.at(count // 10, going.kill_worker)
    going.at(count // 4, restart_broker)
    going.at(count * 2 // 5, restart_postgres)
    going.at(count // 2, going.kill_worker)
    going.at(count * 3 // 5, restart_broker)
    going.at(count * 7 // 10, lambda: going.cut_mail(OUTAGE))
    going.at(count * 4 // 5, going.kill_worker)
    going.wait()

    assert going.check(count) == {"done": count}


@pytest.fixture
def small(tmp_path: Any) -> Iterator[Stack]:
    """A console on a laptop's parts, with forty users, not all of its processes started."""
    stack = Stack(tmp_path)
    try:
        prepare(stack, 40)
        stack.start("broker", "mail", "web")
        until(lambda: stack.get("/healthz")[0] == 200, lambda: f"the web server\n{stack.logs()}")
        yield stack
    finally:
        stack.close()


@pytest.mark.parametrize(
    ("point", "process", "surplus"),
    [
        ("after_delivery", "worker", 2),
        ("after_publish", "dispatcher", 0),
        *(
            pytest.param(point, process, 0, marks=in_full)
            for point, process in (
                ("after_claim", "worker"),
                ("before_delivery", "worker"),
                ("after_take", "dispatcher"),
            )
        ),
    ],
)
def test_it_survives_a_death_at(small: Stack, point: str, process: str, surplus: int) -> None:
    failpoint = f"{point}:2:{small.directory}"
    going = Scenario.begin(small)
    count = eligible(small)
    for name in {"worker", "dispatcher"} - {process}:
        small.start(name)
    small.start(process, OPSCONSOLE_FAILPOINT=failpoint)
    if process == "dispatcher":
        until(lambda: small.processes[process].poll() is not None, "it died")
        small.start(process)

    going.kills = surplus // 2
    going.wait()

    assert going.check(count) == {"done": count}
    assert (small.directory / f"{point}-0").exists(), "nobody died"


def freeze(stack: Stack, name: str) -> None:
    """Freeze a process at a moment when it does not hold SQLite's one write lock.

    Who is frozen inside a transaction keeps everybody from writing until it thaws: that is how
    SQLite is, and not what is looked at here.
    """

    def frozen() -> bool:
        stack.kill(name, signal.SIGSTOP)
        if may_write(stack):
            return True
        stack.kill(name, signal.SIGCONT)
        return False

    until(frozen, lambda: f"{name} is frozen without a lock\n{stack.logs()}")


def may_write(stack: Stack) -> bool:
    """Whether somebody gets the write lock of the stack's SQLite within two seconds."""
    database = sqlite3.connect(next(stack.directory.glob("*.sqlite3")), timeout=2)
    with contextlib.closing(database):
        try:
            database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        database.rollback()
        return True


def test_a_frozen_worker_that_thaws_is_refused(small: Stack) -> None:
    small.start("worker", "dispatcher")
    small.ready()
    going = Scenario.begin(small)
    count = eligible(small)
    going.at(1, lambda: freeze(small, "worker"))
    going.kills = 1
    small.start("worker2")

    until(
        lambda: len(small.emails()) >= count - 4, lambda: f"the others are mailed\n{small.logs()}"
    )
    small.kill("worker", signal.SIGCONT)
    going.wait()

    assert going.check(count) == {"done": count}
