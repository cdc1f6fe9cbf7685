"""The click costs the same whatever the broker does: the database alone is touched."""

import contextlib
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

from tests.chaos.test_kills import COUNT, eligible, prepare
from tests.support.http_client import HTTPClient
from tests.support.scenario import PASSWORD, USERS
from tests.support.servers import RabbitMQ
from tests.support.stack import Stack, until

FULL = COUNT >= 10_000
ROUNDS = 5 if FULL else 1
FORGET = (
    "from tasks_admin.models import *; Target.objects.all().delete();"
    "Operation.objects.all().delete()"
)
pytestmark = [pytest.mark.stack, pytest.mark.timeout(1200)]
#: What is done to a broker, and what undoes it.
Trouble = tuple[Callable[[], Any], Callable[[], Any]]


def nothing() -> None:
    """The broker is up."""


def valkey_troubles(stack: Stack) -> dict[str, Trouble]:
    """What can be the matter with the embedded broker."""
    url = stack.evaluate("__import__('django.conf').conf.settings.CELERY_BROKER_URL")

    def allow(memory: int) -> None:
        with contextlib.closing(redis.Redis.from_url(url)) as client:
            client.config_set("maxmemory", memory)

    def start() -> None:
        stack.start("broker")
        until(lambda: stack.get("/healthz")[0] == 200, "the web server")
        until(lambda: _answers(stack.port + 1), lambda: f"the broker\n{stack.logs()}")

    return {
        "up": (nothing, nothing),
        "full": (lambda: allow(1), lambda: allow(0)),
        "frozen": (
            lambda: stack.kill("broker", signal.SIGSTOP),
            lambda: stack.kill("broker", signal.SIGCONT),
        ),
        "refused": (lambda: stack.kill("broker"), start),
    }


def rabbitmq_troubles(node: RabbitMQ) -> dict[str, Trouble]:
    """What can be the matter with RabbitMQ."""
    return {
        "up": (nothing, nothing),
        "alarmed": (
            lambda: node.control("set_disk_free_limit", "999GB"),
            lambda: node.control("set_disk_free_limit", "1MB"),
        ),
        "frozen": (lambda: node.send(signal.SIGSTOP), lambda: node.send(signal.SIGCONT)),
        "refused": (node.stop, node.start),
    }


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@pytest.fixture(params=["valkey", "rabbitmq"])
def desk(request: Any, tmp_path: Path) -> Iterator[tuple[HTTPClient, dict[str, Trouble], Stack]]:
    """Somebody at a console whose dispatcher is not there: it would make the set smaller."""
    with contextlib.ExitStack() as ends:
        environment, node = {}, None
        if request.param == "rabbitmq":
            (home := tmp_path / "rabbitmq").mkdir()
            node = RabbitMQ(home)
            ends.callback(node.close)
            environment = {"CELERY_BROKER_URL": node.url, "SECRET_KEY": "only for storms " * 4}
        stack = Stack(tmp_path, **environment)
        ends.callback(stack.close)
        prepare(stack, COUNT)
        stack.start(*([] if node else ["broker"]), "web")
        until(lambda: stack.get("/healthz")[0] == 200, lambda: f"the web server\n{stack.logs()}")
        visitor = HTTPClient(stack.url)
        visitor.sign_in("admin", PASSWORD)
        until(lambda: node or _answers(stack.port + 1), lambda: f"the broker\n{stack.logs()}")
        yield visitor, rabbitmq_troubles(node) if node else valkey_troubles(stack), stack


def ask(visitor: HTTPClient) -> dict[str, Any]:
    """Open the page that asks, about everybody who matches; return what confirms it."""
    visitor.get(USERS)
    visitor.post(USERS, action="send_reset_email", index=0, select_across=1, _selected_action=1)
    return {**visitor.hidden_fields(), "reason": "r", "confirm": "yes"}


def click(visitor: HTTPClient, fields: dict[str, Any]) -> float:
    """Confirm; return how many seconds it takes until the operation's page is there."""
    begun = time.monotonic()
    visitor.post(USERS, **fields)
    took = time.monotonic() - begun
    assert re.search(r"/operation/\d+/", visitor.current_url), visitor.text
    return took


def test_a_sick_broker_does_not_slow_the_click(desk: Any) -> None:
    visitor, troubles, stack = desk
    count = eligible(stack)
    times: dict[str, list[float]] = {name: [] for name in troubles}
    for _ in range(ROUNDS):
        for name, (make, undo) in troubles.items():
            fields = ask(visitor)
            make()
            times[name].append(click(visitor, fields))
            undo()
            assert f"0 of {count} have an outcome" in visitor.text
            stack.manage("shell", "--verbosity", "0", "-c", FORGET)

    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    ratios = {name: round(seconds / medians["up"], 2) for name, seconds in medians.items()}
    print(f"{COUNT} users:", {n: round(s, 3) for n, s in medians.items()}, ratios)
    assert max(medians.values()) <= 2


def test_the_click_opens_no_connection_to_the_broker(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as broker:
        broker.setblocking(False)
        url = f"redis://127.0.0.1:{broker.getsockname()[1]}/0"
        stack = Stack(tmp_path, CELERY_BROKER_URL=url, SECRET_KEY="only for storms " * 4)
        try:
            prepare(stack, 50)
            stack.start("web")
            until(
                lambda: stack.get("/healthz")[0] == 200, lambda: f"the web server\n{stack.logs()}"
            )
            visitor = HTTPClient(stack.url)
            visitor.sign_in("admin", PASSWORD)
            fields = ask(visitor)
            with contextlib.suppress(BlockingIOError):
                while True:  # who looked at the workers before does not count
                    broker.accept()[0].close()

            click(visitor, fields)

            with pytest.raises(BlockingIOError):
                broker.accept()
        finally:
            stack.close()
