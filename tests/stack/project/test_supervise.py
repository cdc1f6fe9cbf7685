"""The supervisor restarts its command, and stops it when the development server ends."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from opsconsole.supervise import LOCK_VARIABLE
from tests.support.stack import WAIT_TIMEOUT, until


@pytest.fixture
def lock(tmp_path: Path) -> Any:
    """The lock of a development server, held."""
    with open(tmp_path / "lock", "w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        yield file


def supervise(lock: Any, *command: str) -> subprocess.Popen[bytes]:
    """Start a supervisor that runs the command."""
    return subprocess.Popen(
        [sys.executable, "-m", "opsconsole.supervise", *command],
        env=os.environ | {LOCK_VARIABLE: lock.name},
    )


def started_pids(log: Path) -> list[str]:
    """Return the process IDs that the commands have written to the log."""
    return log.read_text().split() if log.exists() else []


def is_running(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except OSError:
        return False


def test_a_command_that_exits_is_restarted(tmp_path, lock):
    log = tmp_path / "log"
    supervisor = supervise(lock, "sh", "-c", f"echo $$ >> {log}; exit 3")

    until(lambda: len(started_pids(log)) >= 2, "a second start")
    supervisor.send_signal(signal.SIGTERM)

    assert supervisor.wait(WAIT_TIMEOUT) == 3


def test_sigterm_stops_the_command_and_its_children(tmp_path, lock):
    log = tmp_path / "log"
    script = f"trap '' TERM; sleep 1000 & echo $! $$ >> {log}; wait; sleep 1000"
    supervisor = supervise(lock, "sh", "-c", script)
    until(lambda: len(started_pids(log)) == 2, "both processes")

    supervisor.send_signal(signal.SIGTERM)
    supervisor.wait(WAIT_TIMEOUT)

    assert not any(map(is_running, started_pids(log)))


def test_the_command_stops_when_the_lock_is_released(tmp_path, lock):
    log = tmp_path / "log"
    supervisor = supervise(lock, "sh", "-c", f"echo $$ >> {log}; exec sleep 1000")
    until(lambda: started_pids(log), "a process")

    fcntl.lockf(lock, fcntl.LOCK_UN)  # as the kernel does, however the development server ends

    supervisor.wait(WAIT_TIMEOUT)
    assert not any(map(is_running, started_pids(log)))


def test_without_a_development_server_the_command_runs_unsupervised(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != LOCK_VARIABLE}
    command = [sys.executable, "-m", "opsconsole.supervise", "echo", "hello"]

    output = subprocess.check_output(command, env=environment, text=True, timeout=WAIT_TIMEOUT)

    assert output == "hello\n"
