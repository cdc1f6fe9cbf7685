"""Confirming an operation takes the same time whatever state the broker is in."""

import contextlib
import os
import re
import signal
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.console import make_stack
from tests.support.fixtures import Prepare
from tests.support.http_client import HTTPClient
from tests.support.scenario import ALL_ROWS, USERS, count_eligible, sign_in
from tests.support.servers import RabbitMQ
from tests.support.stack import Stack

COUNT = int(os.environ.get("CHAOS_USERS", "300"))
ROUNDS = 5 if COUNT >= 10_000 else 1
#: Seconds in which the operation's page must be there; on a slow machine, a multiple of the usual.
MAX_SECONDS, MAX_RATIO = 2, 3
pytestmark = [pytest.mark.stack, pytest.mark.timeout(1200)]
#: How a broker is brought into a state, and out of it.
Fault = tuple[Callable[[], Any], Callable[[], Any]]


def no_fault() -> None:
    """Leave the broker as it is."""


def valkey_faults(stack: Stack) -> dict[str, Fault]:
    """Return the faults of the embedded broker."""
    url = stack.broker_url

    def limit_memory(size: int) -> None:
        with contextlib.closing(redis.Redis.from_url(url)) as client:
            client.config_set("maxmemory", size)

    def start() -> None:
        stack.start("broker")
        stack.wait_for_broker()

    return {
        "up": (no_fault, no_fault),
        "full": (lambda: limit_memory(1), lambda: limit_memory(0)),
        "frozen": (
            lambda: stack.kill("broker", signal.SIGSTOP),
            lambda: stack.kill("broker", signal.SIGCONT),
        ),
        "stopped": (lambda: stack.kill("broker"), start),
    }


def rabbitmq_faults(node: RabbitMQ) -> dict[str, Fault]:
    """Return the faults of RabbitMQ."""
    return {
        "up": (no_fault, no_fault),
        "alarm": (
            lambda: node.control("set_disk_free_limit", "999GB"),
            lambda: node.control("set_disk_free_limit", "1MB"),
        ),
        "frozen": (lambda: node.send(signal.SIGSTOP), lambda: node.send(signal.SIGCONT)),
        "stopped": (node.stop, node.start),
    }


@pytest.fixture(params=["valkey", "rabbitmq"])
def stack_and_faults(
    request: Any, shared_dir: Path, tmp_path: Path
) -> Iterator[tuple[Stack, dict[str, Fault]]]:
    """A console without a dispatcher: sent messages would change the number of targets."""
    if request.param == "valkey":
        console: Prepare = request.getfixturevalue("console")
        stack = console("web", users=COUNT)
        yield stack, valkey_faults(stack)
        return
    node: RabbitMQ = request.getfixturevalue("own_rabbitmq")
    stack = make_stack(
        shared_dir, tmp_path / "stack", users=COUNT, CELERY_BROKER_URL=node.next_url()
    )
    with contextlib.closing(stack):
        stack.start("web")
        stack.wait_for_web()
        yield stack, rabbitmq_faults(node)


def open_confirmation(client: HTTPClient) -> dict[str, Any]:
    """Open the confirmation page for all users; return the fields that confirm it."""
    client.get(USERS)
    client.post(USERS, action="send_reset_email", index=0, **ALL_ROWS)
    return {**client.hidden_fields(), "reason": "r", "confirm": "yes"}


def confirm(client: HTTPClient, fields: dict[str, Any]) -> float:
    """Confirm; return the seconds until the operation's page is there."""
    started = time.monotonic()
    client.post(USERS, **fields)
    seconds = time.monotonic() - started
    assert re.search(r"/operation/\d+/", client.current_url), client.text
    return seconds


def test_a_broken_broker_does_not_delay_the_confirmation(stack_and_faults: Any) -> None:
    stack, faults = stack_and_faults
    client, count = sign_in(stack), count_eligible(stack)
    times: dict[str, list[float]] = {name: [] for name in faults}
    for _ in range(ROUNDS):
        for name, (inject, recover) in faults.items():
            fields = open_confirmation(client)
            inject()
            times[name].append(confirm(client, fields))
            recover()
            total = "Operation.objects.latest('pk').total"
            finished = "Target.objects.exclude(finished_at=None).count()"
            assert (stack.evaluate(total), stack.evaluate(finished)) == (count, 0)
            stack.shell.run("Target.objects.all().delete(); Operation.objects.all().delete()")

    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    ratios = {name: round(seconds / medians["up"], 2) for name, seconds in medians.items()}
    print(f"{COUNT} users:", {n: round(s, 3) for n, s in medians.items()}, ratios)
    assert max(medians.values()) <= max(MAX_SECONDS, MAX_RATIO * medians["up"])


def test_confirming_opens_no_connection_to_the_broker(shared_dir: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as broker:
        broker.setblocking(False)
        url = f"redis://127.0.0.1:{broker.getsockname()[1]}/0"
        stack = make_stack(shared_dir, tmp_path / "stack", users=50, CELERY_BROKER_URL=url)
        with contextlib.closing(stack):
            stack.start("web")
            stack.wait_for_web()
            client = sign_in(stack)
            fields = open_confirmation(client)
            with contextlib.suppress(BlockingIOError):
                while True:  # connections of pages that show the state of the workers
                    broker.accept()[0].close()

            confirm(client, fields)

            with pytest.raises(BlockingIOError):
                broker.accept()
