"""A broker that has no room: nothing is lost, the page says why it waits, and it goes on."""

import contextlib
import errno
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.chaos.test_kills import COUNT, eligible, prepare
from tests.support.scenario import Scenario
from tests.support.servers import RabbitMQ
from tests.support.stack import Stack, until

FULL = COUNT >= 10_000
USERS = min(COUNT, 1000)
REFUSED = "The broker did not take the last messages."
pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]


class Room:
    """What the embedded broker keeps its messages in. Can be full, and have space again."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def fill(self) -> None:
        """Leave no space."""
        raise NotImplementedError

    def free(self) -> None:
        """Give the space back."""
        raise NotImplementedError

    def close(self) -> None:
        """Leave nothing behind."""


class Memory(Room):
    """The memory that Valkey may take."""

    def fill(self) -> None:
        self._allow(1)

    def free(self) -> None:
        self._allow(0)

    def _allow(self, size: int) -> None:
        url = self.stack.evaluate("__import__('django.conf').conf.settings.CELERY_BROKER_URL")
        with contextlib.closing(redis.Redis.from_url(url)) as client:
            client.config_set("maxmemory", size)


class Disk(Room):
    """A small disk of its own, which takes the right to mount one."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(stack)
        self.place = stack.directory / "broker"
        self.place.mkdir(mode=0o700)
        options = ["-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs"]
        try:
            subprocess.run(["mount", *options, str(self.place)], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("a disk can't be mounted here")

    def fill(self) -> None:
        with open(self.place / "ballast", "wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC

    def free(self) -> None:
        Path(self.place / "ballast").unlink()

    def close(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.place)], check=True)


@pytest.fixture(params=[Memory, Disk])
def room(request: Any, tmp_path: Path) -> Iterator[Room]:
    """A console whose broker's space can be taken away."""
    # Few at a time: most of them still wait when there is no room any more.
    stack = Stack(tmp_path, TASKS_ADMIN_WINDOW="40")
    prepare(stack, USERS)
    room = request.param(stack)
    try:
        stack.start("broker", "mail", "web", "worker", "dispatcher")
        stack.ready()
        yield room
    finally:
        stack.close()
        room.close()


def page_says(going: Scenario, *, refused: bool) -> Callable[[], bool]:
    """Whether the operation's page says that the broker takes nothing (or no longer says so)."""
    found = re.search(r"/admin/tasks_admin/operation/\d+/", going.visitor.current_url)
    assert found

    def says() -> bool:
        going.tend()
        return (REFUSED in going.visitor.get(found[0])) == refused

    return says


def test_a_full_broker_is_waited_for_and_the_page_says_so(room: Room) -> None:
    stack = room.stack
    count = eligible(stack)
    going = Scenario.begin(stack)
    stack.evaluate(
        f"Operation.objects.update(rate={2 * count})"
    )  # however slow we are, it is not over
    going.at(count // 10, room.fill)

    until(page_says(going, refused=True), lambda: f"the page says it\n{stack.logs()}")
    time.sleep(60 if FULL else 5)  # longer than anybody's patience with a broker
    assert page_says(going, refused=True)()
    assert len(stack.emails()) < count
    assert not {state for _subject, state, *_ in going.targets()} & {"failed", "unknown"}

    room.free()
    stack.evaluate("Operation.objects.update(rate=None)")
    going.wait()
    assert going.check(count) == {"done": count}
    assert page_says(going, refused=False)()


def test_a_window_larger_than_the_queue_loses_nothing(tmp_path: Path) -> None:
    with contextlib.ExitStack() as ends:
        (home := tmp_path / "rabbitmq").mkdir()
        rabbitmq = RabbitMQ(home)
        ends.callback(rabbitmq.close)
        limit = '{"max-length": 20, "overflow": "reject-publish"}'
        rabbitmq.control("set_policy", "short", "^mail$", limit, "--apply-to", "queues")
        stack = Stack(
            tmp_path,
            CELERY_BROKER_URL=rabbitmq.url,
            SECRET_KEY="only for storms " * 4,
            TASKS_ADMIN_WINDOW="10000000",
        )
        ends.callback(stack.close)
        prepare(stack, min(USERS, 100))  # twenty are taken at a time, seconds apart
        stack.start("mail", "web", "dispatcher")
        until(lambda: stack.get("/healthz")[0] == 200, lambda: f"the web server\n{stack.logs()}")
        count = eligible(stack)
        going = Scenario.begin(stack)
        until(page_says(going, refused=True), lambda: f"the page says it\n{stack.logs()}")
        assert {state for _subject, state, *_ in going.targets()} <= {"waiting", "queued"}

        stack.start("worker")
        going.wait()
        assert going.check(count) == {"done": count}
