"""Each user gets their email, whichever process is killed; at full size with `make chaos`."""

import contextlib
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.console import make_stack
from tests.support.fixtures import Prepare
from tests.support.scenario import Scenario, count_eligible
from tests.support.servers import Postgres
from tests.support.stack import Stack, until

COUNT = int(os.environ.get("CHAOS_USERS", "300"))
FULL = COUNT >= 10_000
#: Seconds without a mail server, and without PostgreSQL.
MAIL_OUTAGE, DATABASE_OUTAGE = (10, 3) if FULL else (4, 3)
only_in_full = pytest.mark.skipif(not FULL, reason="takes minutes: make chaos")
pytestmark = [pytest.mark.stack, pytest.mark.timeout(1500)]


@pytest.mark.parametrize("broker", ["valkey", "rabbitmq"])
def test_each_user_gets_an_email_whatever_is_killed(
    request: Any, broker: str, own_postgres: Postgres, shared_dir: Path, tmp_path: Path
) -> None:
    """Every process is killed, most of them twice, and the servers too."""
    environment = {"DATABASE_URL": own_postgres.url}
    rabbitmq = request.getfixturevalue("own_rabbitmq") if broker == "rabbitmq" else None
    if rabbitmq:
        environment["CELERY_BROKER_URL"] = rabbitmq.next_url()
    stack = make_stack(shared_dir, tmp_path / "stack", users=COUNT, **environment)

    def restart_broker() -> None:
        if rabbitmq:
            rabbitmq.stop()
            rabbitmq.start()
        else:
            stack.kill("broker")
            stack.start("broker")

    def restart_postgres() -> None:
        own_postgres.stop()
        time.sleep(DATABASE_OUTAGE)
        own_postgres.start()

    with contextlib.closing(stack):
        stack.start(*([] if rabbitmq else ["broker"]), "mail", "web", "worker", "dispatcher")
        stack.ready()
        count = count_eligible(stack)
        scenario = Scenario.send_reset_emails(stack)
        faults: list[tuple[float, Callable[[], None]]] = [
            (0.1, lambda: scenario.restart("worker")),
            (0.25, restart_broker),
            (0.4, restart_postgres),
            (0.5, lambda: scenario.restart("worker")),
            (0.6, restart_broker),
            (0.7, lambda: scenario.interrupt_mail_server(MAIL_OUTAGE)),
            (0.8, lambda: scenario.restart("worker")),
        ]
        for share, fault in faults:
            scenario.after_emails(int(count * share), fault)
        scenario.wait()

        assert scenario.check_invariants(count) == {"done": count}


@pytest.mark.parametrize(
    ("failpoint", "process", "possible_duplicates"),
    [
        ("after_delivery", "worker", 2),
        ("after_publish", "dispatcher", 0),
        *(
            pytest.param(failpoint, process, 0, marks=only_in_full)
            for failpoint, process in (
                ("after_claim", "worker"),
                ("before_delivery", "worker"),
                ("after_take", "dispatcher"),
            )
        ),
    ],
)
def test_each_user_gets_an_email_if_a_process_dies_at_a_failpoint(
    console: Prepare, tmp_path: Path, failpoint: str, process: str, possible_duplicates: int
) -> None:
    stack = console("mail", "web", users=40)
    scenario = Scenario.send_reset_emails(stack)
    count = count_eligible(stack)
    for name in {"worker", "dispatcher"} - {process}:
        stack.start(name)
    stack.start(process, OPSCONSOLE_FAILPOINT=f"{failpoint}:2:{tmp_path}")
    if process == "dispatcher":
        until(lambda: stack.processes[process].poll() is not None, "the dispatcher's death")
        stack.start(process)

    scenario.kills = possible_duplicates // 2
    scenario.wait()

    assert scenario.check_invariants(count) == {"done": count}
    assert (tmp_path / f"{failpoint}-0").exists(), "no process died"


def freeze(stack: Stack, name: str) -> None:
    """Freeze a process at a moment when it does not hold SQLite's write lock.

    If it froze inside a transaction, no other process could write until it continues. That is a
    property of SQLite, and not the subject of this test.
    """

    def frozen() -> bool:
        stack.kill(name, signal.SIGSTOP)
        if can_write(stack):
            return True
        stack.kill(name, signal.SIGCONT)
        return False

    until(frozen, lambda: f"a moment when {name} holds no lock\n{stack.logs()}")


def can_write(stack: Stack) -> bool:
    """Whether SQLite's write lock is free, now or within two seconds."""
    database = sqlite3.connect(stack.directory / "console.sqlite3", timeout=2)
    with contextlib.closing(database):
        try:
            database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        database.rollback()
        return True


def test_a_frozen_worker_cannot_settle_targets_when_it_continues(console: Prepare) -> None:
    stack = console("mail", "web", "worker", "dispatcher", users=40)
    scenario = Scenario.send_reset_emails(stack)
    count = count_eligible(stack)
    scenario.after_emails(1, lambda: freeze(stack, "worker"))
    scenario.kills = 1
    stack.start("worker2")

    until(
        lambda: len(stack.emails()) >= count - 4,
        lambda: f"the emails of the other worker\n{stack.logs()}",
    )
    stack.kill("worker", signal.SIGCONT)
    scenario.wait()

    assert scenario.check_invariants(count) == {"done": count}
