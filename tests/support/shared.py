"""What all tests of a run share: servers, and databases that are copied instead of migrated.

The first test that needs one makes it, whichever process of pytest-xdist it runs in; pytest's
first process stops the servers when the run ends.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from opsconsole.environment import BASE_DIR
from tests.support.servers import Postgres, RabbitMQ

#: The superuser of the copied databases.
ADMIN, PASSWORD = "admin", "a password for tests"
#: Python warns of a process that still runs when its object is deleted.
_nodes: list[RabbitMQ] = []
SECRET_KEY = "a secret key for tests, long enough for every check"


def shared_directory(config: pytest.Config, factory: pytest.TempPathFactory) -> Path:
    """Return the directory that the processes of this run have in common."""
    base = factory.getbasetemp()
    directory = (base.parent if hasattr(config, "workerinput") else base) / "shared"
    directory.mkdir(exist_ok=True)
    return directory


@contextlib.contextmanager
def locked(directory: Path, name: str) -> Iterator[Path]:
    """Hold the lock of that name; yield the path of the file that it protects."""
    with open(directory / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield directory / name


def once(directory: Path, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what `make` returned to the first caller of this run. It must be JSON."""
    with locked(directory, f"{name}.json") as path:
        if not path.exists():
            path.write_text(json.dumps(make()))
        return dict(json.loads(path.read_text()))


def next_number(directory: Path, name: str) -> int:
    """Return 1, 2, 3 … to the callers of this run."""
    with locked(directory, name) as path:
        number = int(path.read_text()) + 1 if path.exists() else 1
        path.write_text(str(number))
        return number


def stop_servers(directory: Path) -> None:
    """Kill the shared servers and remove their files."""
    for path in directory.glob("*.json"):
        server = json.loads(path.read_text())
        for pid in server.get("pids", []):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGQUIT if server["kind"] == "postgres" else signal.SIGKILL)
        for group in server.get("groups", []):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        for name in server.get("directories", []):
            shutil.rmtree(name, ignore_errors=True)


def migrate(environment: dict[str, str]) -> None:
    """Make the tables, the superuser and the static files, by the commands that a user runs."""
    for command in (
        ["migrate", "--verbosity", "0"],
        ["collectstatic", "--noinput", "--verbosity", "0"],
        ["createsuperuser", "--noinput", "--username", ADMIN, "--email", "admin@mail.example"],
    ):
        subprocess.run(
            [sys.executable, "manage.py", *command], cwd=BASE_DIR, env=environment, check=True,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip


def _environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    return kept | {"DJANGO_SUPERUSER_PASSWORD": PASSWORD, "SECRET_KEY": SECRET_KEY} | more


def sqlite_template(directory: Path) -> Path:
    """Return a data directory with a migrated database and the static files."""

    def make() -> dict[str, Any]:
        (directory / "template").mkdir()
        migrate(_environment(DATA_DIR=str(directory / "template")))
        return {}

    once(directory, "sqlite", make)
    return directory / "template"


def copy_sqlite(directory: Path, database: Path) -> None:
    """Copy the migrated database."""
    database.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(sqlite_template(directory) / "console.sqlite3", database)


def postgres_template(directory: Path) -> Path:
    """Return the directory of a stopped cluster whose database `postgres` is migrated."""

    def make() -> dict[str, Any]:
        (directory / "unused").mkdir()
        cluster = Postgres(keep=True)
        migrate(_environment(
            DATA_DIR=str(directory / "unused"), DATABASE_URL=cluster.url,
            CELERY_BROKER_URL="redis://127.0.0.1:1/0",
        ))  # fmt: skip
        cluster.stop("fast")
        return {"directories": [str(cluster.directory.parent)], "cluster": str(cluster.directory)}

    return Path(once(directory, "postgres-template", make)["cluster"])


def postgres_server(directory: Path) -> str:
    """Return the URL of the shared cluster, without a database."""

    def make() -> dict[str, Any]:
        cluster = Postgres(template=postgres_template(directory), keep=True)
        return {
            "kind": "postgres", "pids": [cluster.pid], "url": cluster.url,
            "directories": [str(cluster.directory.parent)],
        }  # fmt: skip

    return str(once(directory, "postgres", make)["url"]).rpartition("/")[0]


def postgres_database(directory: Path, *, empty: bool = False) -> str:
    """Create a database in the shared cluster, migrated unless it is to be empty."""
    server = postgres_server(directory)
    name = f"test{next_number(directory, 'databases')}"
    template = "template0" if empty else "postgres"
    with (
        locked(directory, "copying"),  # a template must have no other connections
        psycopg.connect(f"{server}/template1", autocommit=True) as connection,
    ):
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    return f"{server}/{name}"


def rabbitmq_server(directory: Path) -> dict[str, Any]:
    """Return the port of the shared node."""

    def make() -> dict[str, Any]:
        home = directory / "rabbitmq"
        home.mkdir()
        node = RabbitMQ(home, vhosts=True)
        _nodes.append(node)
        return {
            "kind": "rabbitmq", "groups": [node.process.pid], "pids": [node.names.pid],
            "port": node.port,
        }  # fmt: skip

    return once(directory, "rabbitmq", make)


def rabbitmq_vhost(directory: Path, kind: str = "plain") -> str:
    """Return the URL of an unused virtual host of the shared node, of a kind in `VHOSTS`."""
    port = rabbitmq_server(directory)["port"]
    number = next_number(directory, f"vhosts-{kind}")
    return f"amqp://guest:guest@127.0.0.1:{port}/{kind}{number}"
