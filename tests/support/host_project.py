"""A host project in processes of its own: `project`, its database, its broker, its workers."""

import os
import subprocess
import sys
from pathlib import Path

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
