"""A full broker: no message is lost, the page reports it, and the operation continues."""

import contextlib
import errno
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support import shared
from tests.support.console import make_stack
from tests.support.fixtures import Prepare
from tests.support.scenario import Scenario, count_eligible
from tests.support.stack import Stack, until

COUNT = int(os.environ.get("CHAOS_USERS", "300"))
USERS = min(COUNT, 1000)
#: Seconds for which the broker stays full: longer than the timeouts of its clients.
FULL_FOR = 60 if COUNT >= 10_000 else 5
#: Only so many messages are in flight: most targets still wait when the broker is full.
WINDOW = {"TASKS_ADMIN_WINDOW": "40"}
WARNING = "The broker did not accept the latest messages."
pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]


class Memory:
    """The memory that Valkey may use."""

    def __init__(self, stack: Stack) -> None:
        self.url = stack.broker_url

    def fill(self) -> None:
        """Leave no memory."""
        self._limit(1)

    def free(self) -> None:
        """Remove the limit."""
        self._limit(0)

    def _limit(self, size: int) -> None:
        with contextlib.closing(redis.Redis.from_url(self.url)) as client:
            client.config_set("maxmemory", size)


class Disk:
    """A small disk for Valkey's files. Mounting it requires root."""

    def __init__(self, stack: Stack) -> None:
        self.directory = stack.directory / "broker"
        self.directory.mkdir(mode=0o700)
        options = ["-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs"]
        try:
            command = ["mount", *options, str(self.directory)]
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("this user cannot mount a disk")

    def fill(self) -> None:
        """Leave no space."""
        with open(self.directory / "ballast", "wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC

    def free(self) -> None:
        """Delete the file that takes the space."""
        Path(self.directory / "ballast").unlink()

    def close(self) -> None:
        """Unmount the disk."""
        subprocess.run(["umount", "--lazy", str(self.directory)], check=True)


@pytest.fixture
def memory(console: Prepare) -> tuple[Stack, Memory]:
    """A console whose broker can run out of memory."""
    stack = console("mail", "web", "worker", users=USERS)
    stack.start("dispatcher", **WINDOW)
    return stack, Memory(stack)


@pytest.fixture
def disk(shared_dir: Path, tmp_path: Path) -> Iterator[tuple[Stack, Disk]]:
    """A console whose broker can run out of disk space."""
    with contextlib.ExitStack() as cleanup:
        stack = make_stack(shared_dir, tmp_path / "stack", users=USERS)
        disk = Disk(stack)
        cleanup.callback(disk.close)
        cleanup.callback(stack.close)
        stack.start("broker", "mail", "web", "worker")
        stack.start("dispatcher", **WINDOW)
        stack.ready()
        yield stack, disk


def page_warns(scenario: Scenario, *, expected: bool) -> Callable[[], bool]:
    """Return a condition: the operation's page contains the warning, or does not."""

    def warns() -> bool:
        scenario.restart_exited()
        return (WARNING in scenario.client.get(scenario.path)) == expected

    return warns


@pytest.mark.parametrize("resource", ["memory", "disk"])
def test_an_operation_waits_for_a_full_broker_and_its_page_reports_it(
    request: Any, resource: str
) -> None:
    stack, space = request.getfixturevalue(resource)
    count = count_eligible(stack)
    scenario = Scenario.send_reset_emails(stack)
    # Even on a slow machine, the operation must not end before the broker is full.
    stack.shell.run(f"Operation.objects.update(rate={2 * count})")
    scenario.after_emails(count // 10, space.fill)

    until(page_warns(scenario, expected=True), lambda: f"the warning\n{stack.logs()}")
    time.sleep(FULL_FOR)
    assert page_warns(scenario, expected=True)()
    assert len(stack.emails()) < count
    assert not {state for _subject, state, *_ in scenario.targets()} & {"failed", "unknown"}

    space.free()
    stack.shell.run("Operation.objects.update(rate=None)")
    scenario.wait()
    assert scenario.check_invariants(count) == {"done": count}
    assert page_warns(scenario, expected=False)()


def test_a_window_larger_than_the_queue_loses_no_message(shared_dir: Path, tmp_path: Path) -> None:
    # Of the virtual hosts of this kind, the queue of emails holds at most twenty messages.
    stack = make_stack(
        shared_dir,
        tmp_path / "stack",
        users=min(USERS, 100),  # the queue takes twenty at a time, seconds apart
        CELERY_BROKER_URL=shared.rabbitmq_vhost(shared_dir, "short"),
        TASKS_ADMIN_WINDOW="10000000",
    )
    with contextlib.closing(stack):
        stack.start("mail", "web", "dispatcher")
        stack.wait_for_web()
        count = count_eligible(stack)
        scenario = Scenario.send_reset_emails(stack)
        until(page_warns(scenario, expected=True), lambda: f"the warning\n{stack.logs()}")
        assert {state for _subject, state, *_ in scenario.targets()} <= {"waiting", "queued"}

        stack.start("worker")
        scenario.wait()
        assert scenario.check_invariants(count) == {"done": count}
