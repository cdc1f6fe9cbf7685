"""The tether: starts again what ended by itself, and lets nothing outlive the runner."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from opsconsole.supervise import LOCK_VARIABLE
from tests.support.stack import until


@pytest.fixture
def lock(tmp_path: Path) -> Any:
    """A runner's lock, held."""
    with open(tmp_path / "lock", "w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        yield file


def tethered(lock: Any, *command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "opsconsole.supervise", *command],
        env=os.environ | {LOCK_VARIABLE: lock.name},
    )


def begun(log: Path) -> list[str]:
    """The process ids of those that were started."""
    return log.read_text().split() if log.exists() else []


def alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except OSError:
        return False


def test_what_ends_by_itself_is_started_again(tmp_path, lock):
    log = tmp_path / "log"
    tether = tethered(lock, "sh", "-c", f"echo $$ >> {log}; exit 3")

    until(lambda: len(begun(log)) >= 2, "a second start")
    tether.send_signal(signal.SIGTERM)

    assert tether.wait(10) == 3


def test_told_to_stop_it_ends_all_that_was_started(tmp_path, lock):
    log = tmp_path / "log"
    script = f"trap '' TERM; sleep 1000 & echo $! $$ >> {log}; wait; sleep 1000"
    tether = tethered(lock, "sh", "-c", script)
    until(lambda: len(begun(log)) == 2, "both processes")

    tether.send_signal(signal.SIGTERM)
    tether.wait(30)

    assert not any(map(alive, begun(log)))


def test_it_ends_when_the_runner_is_gone(tmp_path, lock):
    log = tmp_path / "log"
    tether = tethered(lock, "sh", "-c", f"echo $$ >> {log}; exec sleep 1000")
    until(lambda: begun(log), "a process")

    fcntl.lockf(lock, fcntl.LOCK_UN)  # what the kernel does, however the runner ends

    tether.wait(30)
    assert not any(map(alive, begun(log)))


def test_without_a_runner_the_command_simply_runs(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != LOCK_VARIABLE}
    command = [sys.executable, "-m", "opsconsole.supervise", "echo", "hello"]

    said = subprocess.check_output(command, env=environment, text=True, timeout=60)

    assert said == "hello\n"
