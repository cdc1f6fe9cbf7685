"""A host project in processes of its own: its database, its broker, its workers."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import redis

from opsconsole.environment import BASE_DIR
from tests.support.shared import copy_sqlite
from tests.support.shell import Shell
from tests.support.stack import WAIT_TIMEOUT

APP = "tests.host.celery_app"
#: Names that the code run by `HostProject.shell` can use. The cache of snapshots is cleared by
#: each test that reads them twice.
SETUP = f"""
import json
import django; django.setup()
from django.contrib.auth.models import User
from tasks_admin import dispatcher, periodic, queues, results, workers
from tasks_admin.integrations import broker, control
from tasks_admin.models import *
from tasks_admin.operations import Confirmation
import {APP} as project
project.app.set_current()
boss = User.objects.get(username="admin")
audit = {{"actor": boss, "reason": "r"}}
"""


class HostProject:
    """A project with the console installed. Its processes are killed when it is closed."""

    def __init__(self, directory: Path, *, database: str, broker: str, **environment: str) -> None:
        self.directory, self.log = directory, directory / "runs"
        self.environment = os.environ | {
            "DATABASE_URL": database,
            "CELERY_BROKER_URL": broker,
            "HOST_LOG": str(self.log),
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            **environment,
        }
        self.processes: list[subprocess.Popen[bytes]] = []
        self._shell: Shell | None = None

    @property
    def shell(self) -> Shell:
        """A process with the project's Django, started when it is first used; see `SETUP`."""
        if self._shell is None:
            self._shell = Shell(self.environment, SETUP)
        return self._shell

    def start(self, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a Python command in a session of its own."""
        process = subprocess.Popen(
            [sys.executable, *command], cwd=BASE_DIR, env=self.environment | environment,
            start_new_session=True,
        )  # fmt: skip
        self.processes.append(process)
        return process

    def start_worker(self, *options: str) -> subprocess.Popen[bytes]:
        """Start a worker with two processes, unless the options differ."""
        process = start_worker(self.environment, *options)
        self.processes.append(process)
        return process

    def inspect(self, command: str, names: Iterable[str]) -> dict[str, Any]:
        """Return the replies of these workers to `celery inspect`, which waits for all of them."""
        arguments = ["-m", "celery", "-A", APP, "inspect", command, "-j", "-d", ",".join(names)]
        done = subprocess.run(
            [sys.executable, *arguments, "-t", "20"], cwd=BASE_DIR, env=self.environment,
            capture_output=True, text=True, timeout=WAIT_TIMEOUT,
        )  # fmt: skip
        lines = done.stdout.strip().splitlines()
        return dict(json.loads(lines[-1])) if lines else {}  # no worker replied

    def runs(self) -> list[list[str]]:
        """Return the ID, the argument and the time of each run of `host.log_run`."""
        return (
            [line.split() for line in self.log.read_text().splitlines()]
            if self.log.exists()
            else []
        )

    def close(self) -> None:
        """Kill all processes."""
        if self._shell:
            self._shell.close()
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class HostProjects:
    """Makes host projects, and closes them."""

    def __init__(self, shared: Path, make_directory: Callable[[str], Path], valkey: str) -> None:
        self.shared, self.make_directory, self.valkey = shared, make_directory, valkey
        self.cleanup = contextlib.ExitStack()

    def make(self, *, database: str = "", broker: str = "", **environment: str) -> HostProject:
        """Make a project on SQLite and an empty Valkey, unless others are named."""
        directory = self.make_directory("host")
        if not database:
            copy_sqlite(self.shared, directory / "host.sqlite3")
            database = f"sqlite:///{directory / 'host.sqlite3'}"
        if not broker:
            broker = self.valkey
            with contextlib.closing(redis.Redis.from_url(broker)) as client:
                client.flushall()
        project = HostProject(directory, database=database, broker=broker, **environment)
        self.cleanup.callback(project.close)
        return project


def run_python(code: str, environment: dict[str, str]) -> str:
    """Run code in a Python process of its own and return its output."""
    command = [sys.executable, "-c", code]
    return subprocess.check_output(command, cwd=BASE_DIR, env=environment, text=True, timeout=300)


def start_worker(environment: dict[str, str], *options: str) -> subprocess.Popen[bytes]:
    """Start a worker of the host project with two processes, unless the options differ."""
    command = [sys.executable, "-m", "celery", "-A", APP, "worker", "--concurrency=2"]
    return subprocess.Popen(
        [*command, "--loglevel=error", *options], cwd=BASE_DIR, env=environment,
        start_new_session=True,
    )  # fmt: skip
