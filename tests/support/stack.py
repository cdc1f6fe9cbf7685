"""The console, or parts of it, as real processes on free ports."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from honcho.environ import parse_procfile

from opsconsole.environment import BASE_DIR
from tests.support.ports import free_ports

T = TypeVar("T")
ROOT = BASE_DIR
#: Seconds. Long enough for a busy machine; a wait ends as soon as its condition holds.
WAIT_TIMEOUT = 180.0


def until(
    condition: Callable[[], T],
    description: str | Callable[[], str],
    timeout: float = WAIT_TIMEOUT,
) -> T:
    """Wait until the condition returns a true value, and return that value.

    A description that includes logs is a function, so that it reads them after the timeout.
    """
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            text = description if isinstance(description, str) else description()
            raise AssertionError(f"Timed out after {timeout:.0f} s waiting for: {text}")
        time.sleep(0.1)
    return value


class Stack:
    """Processes of a console with its own data directory, started and stopped one by one."""

    def __init__(self, directory: Path, **environment: str) -> None:
        self.directory, self.port = directory, free_ports()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "HOME": os.environ.get("HOME", "/"),
            "LANG": "C.UTF-8",
            "PORT": str(self.port),
            "DATA_DIR": str(directory),
            "PYTHONUNBUFFERED": "1",
            "DJANGO_SUPERUSER_PASSWORD": "a password for tests",
            **environment,
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def command(self, name: str) -> list[str]:
        """Return the Procfile's command of that name, without the supervisor."""
        arguments = parse_procfile((ROOT / "Procfile").read_text()).processes[name].split()
        return arguments[3:]  # not `python -m opsconsole.supervise`: the test stops the process

    def start(self, *names: str, **environment: str) -> None:
        """Start processes by their names in the Procfile; `worker2` is another `worker`."""
        for name in names:
            command = self.command(name.rstrip("0123456789"))
            if name.startswith("worker"):
                command += ["--hostname", f"{name}-{time.time_ns()}@test"]
            self.run(name, *command, **environment)

    def run(self, name: str, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a command in its own session, with its output in a log file."""
        with open(self.directory / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self.processes[name]

    def manage(self, *command: str) -> str:
        """Run a management command and return its output."""
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT, env=self.environment, capture_output=True, text=True,
            timeout=WAIT_TIMEOUT * 2,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def evaluate(self, expression: str) -> Any:
        """Evaluate an expression in the console's Django shell; its value must be JSON."""
        names = "from tasks_admin.models import *; from django.contrib.auth.models import User"
        code = f"import json; {names}; print('\\n' + json.dumps({expression}))"
        return json.loads(self.manage("shell", "--verbosity", "0", "-c", code).splitlines()[-1])

    def get(self, path: str) -> tuple[int, str]:
        """GET a page without signing in; the status is 0 if the server does not respond."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def ready(self) -> None:
        """Wait until the web server, the broker, the database and a worker respond."""
        until(lambda: self.get("/readyz")[0] == 200, lambda: f"/readyz to succeed\n{self.logs()}")

    def emails(self) -> list[Path]:
        """Return the files of the mail catcher."""
        # A file whose name begins with a dot is still being written.
        return sorted((self.directory / "mail").glob("[!.]*.eml"))

    def logs(self) -> str:
        """Return the end of each log, for the message of a failed test."""
        parts = []
        for path in sorted(self.directory.glob("*.log")):
            parts.append(f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}")
        return "\n".join(parts)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a process and its children; wait for its exit if the signal ends it."""
        process = self.processes[name]
        if process.poll() is None:
            os.killpg(process.pid, number)
        if number in {signal.SIGKILL, signal.SIGTERM}:
            process.wait(WAIT_TIMEOUT)

    def close(self) -> None:
        """Kill all processes."""
        for name in self.processes:
            self.kill(name, signal.SIGKILL)
