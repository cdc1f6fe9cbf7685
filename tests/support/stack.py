"""The console, or parts of it, as real processes on free ports."""

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
from opsconsole.valkey import is_responding
from tests.support.ports import free_ports
from tests.support.shell import Shell

T = TypeVar("T")
SETUP = """
import os, json
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsconsole.settings")
import django; django.setup()
from django.contrib.auth.models import User
from tasks_admin.models import *
"""
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
        #: The processes that were started, killed or sent a signal; see `Console`.
        self.changed: set[str] = set()
        #: The workers' names in Celery.
        self.worker_names: dict[str, str] = {}
        self._shell: Shell | None = None

    @property
    def broker_url(self) -> str:
        """The URL of the broker."""
        code = "from django.conf import settings; print(json.dumps(settings.CELERY_BROKER_URL))"
        return str(self.shell.run_json(code))

    @property
    def shell(self) -> Shell:
        """A process with the console's Django, started when it is first used."""
        if self._shell is None:
            self._shell = Shell(self.environment, SETUP)
        return self._shell

    def command(self, name: str) -> list[str]:
        """Return the Procfile's command of that name, without the supervisor."""
        arguments = parse_procfile((ROOT / "Procfile").read_text()).processes[name].split()
        return arguments[3:]  # not `python -m opsconsole.supervise`: the test stops the process

    def start(self, *names: str, **environment: str) -> None:
        """Start processes by their names in the Procfile; `worker2` is another `worker`."""
        for name in names:
            command = self.command(name.rstrip("0123456789"))
            if name.startswith("worker"):
                self.worker_names[name] = f"{name}-{time.time_ns()}@test"
                command += ["--hostname", self.worker_names[name]]
            self.run(name, *command, **environment)

    def run(self, name: str, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a command in its own session, with its output in a log file."""
        self.changed.add(name)
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
        """Evaluate an expression with the console's models; its value must be JSON."""
        return self.shell.evaluate(expression)

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

    def wait_for_web(self) -> None:
        """Wait until the web server responds."""
        until(lambda: self.get("/healthz")[0] == 200, lambda: f"the web server\n{self.logs()}")

    def wait_for_broker(self) -> None:
        """Wait until the embedded broker responds."""
        until(lambda: is_responding(self.port + 1), lambda: f"the broker\n{self.logs()}")

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
        self.changed.add(name)
        process = self.processes[name]
        if process.poll() is None:
            os.killpg(process.pid, number)
        if number in {signal.SIGKILL, signal.SIGTERM}:
            process.wait(WAIT_TIMEOUT)

    def close(self) -> None:
        """Kill all processes."""
        if self._shell:
            self._shell.close()
            self._shell = None
        for name in self.processes:
            self.kill(name, signal.SIGKILL)
