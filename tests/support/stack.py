"""The whole console, or parts of it, as real processes on free ports."""

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
#: Seconds that anything may take on a busy machine. Nothing waits longer than it must.
PATIENCE = 90.0


def until(told: Callable[[], T], what: str | Callable[[], str], patience: float = PATIENCE) -> T:
    """Wait for something that becomes true, and return it.

    What was waited for is a function where it tells of logs: they are read when it was in vain.
    """
    deadline = time.monotonic() + patience
    while not (value := told()):
        if time.monotonic() > deadline:
            words = what if isinstance(what, str) else what()
            raise AssertionError(f"waited {patience:.0f} s in vain: {words}")
        time.sleep(0.1)
    return value


class Stack:
    """Processes of the console in a directory of their own, started and ended one by one."""

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
        """What the Procfile runs under a name."""
        words = parse_procfile((ROOT / "Procfile").read_text()).processes[name].split()
        return words[3:]  # without the tether: here the test ends them

    def start(self, *names: str, **environment: str) -> None:
        """Start processes by their names in the Procfile; `worker2` is another `worker`."""
        for name in names:
            command = self.command(name.rstrip("0123456789"))
            if name.startswith("worker"):
                command += ["--hostname", f"{name}-{time.time_ns()}@test"]
            self.run(name, *command, **environment)

    def run(self, name: str, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start any command, in a session of its own, its output in a log."""
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
        """Run a management command to its end; return what it printed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=PATIENCE * 4,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask(self, expression: str) -> Any:
        """Evaluate an expression in the console's own Django; its value must be JSON."""
        names = "from tasks_admin.models import *; from django.contrib.auth.models import User"
        code = f"import json; {names}; print('\\n' + json.dumps({expression}))"
        return json.loads(self.manage("shell", "--verbosity", "0", "-c", code).splitlines()[-1])

    def get(self, path: str) -> tuple[int, str]:
        """GET a page without signing in; status 0 when nobody answers."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def ready(self) -> None:
        """Wait until web, broker, database and a worker answer."""
        until(lambda: self.get("/readyz")[0] == 200, lambda: f"/readyz says ok\n{self.logs()}")

    def mails(self) -> list[Path]:
        """What the catcher caught."""
        # One whose name begins with a dot is still being written.
        return sorted((self.directory / "mail").glob("[!.]*.eml"))

    def logs(self) -> str:
        """The end of every log, for a failure's message."""
        parts = []
        for path in sorted(self.directory.glob("*.log")):
            parts.append(f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}")
        return "\n".join(parts)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a process and all that it started; wait for its end if it must end."""
        process = self.processes[name]
        if process.poll() is None:
            os.killpg(process.pid, number)
        if number in {signal.SIGKILL, signal.SIGTERM}:
            process.wait(PATIENCE)

    def close(self) -> None:
        """End everything."""
        for name in self.processes:
            self.kill(name, signal.SIGKILL)
