"""A host project in processes of its own: `project`, its database, its broker, its workers."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import redis

from tests.support.stack import ROOT


def prepare_host(broker: str, database: str, log: Path, **more: str) -> dict[str, str]:
    """Make tables, empty the broker; return the environment of the host's processes."""
    redis.Redis.from_url(broker).flushall()
    environment = os.environ | {
        "DATABASE_URL": database,
        "CELERY_BROKER_URL": broker,
        "HOST_LOG": str(log),
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        **more,
    }
    migrate = [sys.executable, "manage.py", "migrate", "-v0"]
    subprocess.run(migrate, cwd=ROOT, env=environment, check=True)
    return environment


def run_python(code: str, environment: dict[str, str]) -> str:
    """Run Python to its end; return what it printed."""
    command = [sys.executable, "-c", code]
    return subprocess.check_output(command, cwd=ROOT, env=environment, text=True, timeout=300)


def start_worker(environment: dict[str, str], *options: str) -> subprocess.Popen[bytes]:
    """Start a worker of two processes, or as the options say."""
    command = [sys.executable, "-m", "celery", "-A", "tests.host.celery_app", "worker"]
    command += ["--concurrency=2", "--loglevel=error", *options]
    return subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)


def read_runs(log: Path) -> list[list[str]]:
    """What the tasks wrote when they ran, a list of words each."""
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


#: Reads a line of code after the other, and answers with what each printed.
LOOP = """
import contextlib, io, json, sys
names = {}
for line in sys.stdin:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(json.loads(line), names)
    print("\\n" + json.dumps(said.getvalue()), flush=True)
"""


class Shell:
    """A Python process of the host's that goes on: to ask it again costs no start."""

    def __init__(self, environment: dict[str, str], head: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", LOOP],
            cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.run(head)

    def run_python(self, code: str) -> str:
        """Run code; return what it printed."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(code) + "\n")
        self.process.stdin.flush()
        while line := self.process.stdout.readline():
            if line.startswith('"'):
                return str(json.loads(line))
        raise AssertionError(f"the shell ended over: {code}")

    def said(self, code: str) -> Any:
        """Run code; return the JSON that it printed last."""
        return json.loads(self.run(code).splitlines()[-1])

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()
