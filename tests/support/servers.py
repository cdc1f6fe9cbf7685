"""Servers that tests start: PostgreSQL, RabbitMQ and Redis, on free ports."""

import base64
import hashlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from amqp import Connection
from amqp.exceptions import AMQPError

from tests.support.ports import free_port

ALL = os.environ.get("OPSCONSOLE_TEST_ALL") == "1"


def need(found: object, what: str, package: str) -> None:
    """Skip the test when a program is missing; fail it when all must be there."""
    if found:
        return
    if ALL:
        pytest.fail(f"{what} is missing: apt-get install {package}")
    pytest.skip(f"{what} is not installed")


class Postgres:
    """A PostgreSQL cluster, newly created, or copied from the files of a stopped one."""

    def __init__(
        self, *, fsync: str = "off", template: Path | None = None, keep: bool = False
    ) -> None:
        self.fsync = fsync
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
        if (ours := shutil.which("pg_ctl")) and not found:
            found = [Path(ours)]
        need(found, "PostgreSQL", "postgresql")
        self.bin, self.port = found[-1].parent, free_port()
        # As root, it runs as another user, who may not enter pytest's directories.
        directory = Path(tempfile.mkdtemp(prefix="opsconsole-postgres-"))
        if os.geteuid() == 0:
            shutil.chown(directory, "postgres")
        if not keep:
            weakref.finalize(self, shutil.rmtree, directory, ignore_errors=True)
        self.directory = directory / "data"
        if template:
            subprocess.run(["cp", "-a", str(template), str(self.directory)], check=True)
        else:
            self._run(
                "initdb", "-D", str(self.directory), "-A", "trust", "-U", "postgres", "-E", "UTF8",
                "--no-sync",
            )  # fmt: skip
        self.start()

    @property
    def pid(self) -> int:
        """The process ID of the server."""
        return int((self.directory / "postmaster.pid").read_text().split()[0])

    @property
    def url(self) -> str:
        """As DATABASE_URL wants it."""
        return f"postgres://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start, and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1"
        # No socket in a directory: a path longer than 107 characters is refused.
        options += f" -c fsync={self.fsync} -c unix_socket_directories=''"
        log = str(self.directory.parent / "log")
        self._run("pg_ctl", "-D", str(self.directory), "-o", options, "-l", log, "-w", "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop; by default as in a crash, without a checkpoint."""
        self._run("pg_ctl", "-D", str(self.directory), "-m", mode, "-w", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        as_postgres: Sequence[str] = (
            ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        )
        subprocess.run(
            [*as_postgres, str(self.bin / program), *arguments],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120,
        )  # fmt: skip


#: The virtual hosts of a shared node: so many of each kind, and the policy of all its queues.
VHOSTS: dict[str, tuple[int, dict[str, Any]]] = {
    "plain": (12, {}),
    "short": (1, {"max-length": 20, "overflow": "reject-publish"}),
}


def definitions() -> dict[str, Any]:
    """Return what a node with virtual hosts loads when it starts: `rabbitmqctl` is slow."""
    names = [
        f"{kind}{number}" for kind, (count, _) in VHOSTS.items() for number in range(1, count + 1)
    ]
    salt = b"salt"
    hashed = base64.b64encode(salt + hashlib.sha256(salt + b"guest").digest()).decode()
    guest = {"name": "guest", "password_hash": hashed, "tags": "administrator"}
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    return {
        "users": [guest | {"hashing_algorithm": "rabbit_password_hashing_sha256"}],
        "vhosts": [{"name": name} for name in ["/", *names]],
        "permissions": [{"user": "guest", "vhost": name, **everything} for name in ["/", *names]],
        "policies": [
            {"vhost": f"{kind}{number}", "name": kind, "pattern": "^mail$", "apply-to": "queues",
             "definition": policy}
            for kind, (count, policy) in VHOSTS.items() if policy
            for number in range(1, count + 1)
        ],
    }  # fmt: skip


class RabbitMQ:
    """A RabbitMQ node."""

    def __init__(
        self, directory: Path, *, vhosts: bool = False, schedulers: str = "+S 1:1"
    ) -> None:
        found = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"))
        need(found, "RabbitMQ", "rabbitmq-server")
        self.port, self.used = free_port(), 0
        self.sbin = found[-1].parent
        self.environment = os.environ | {
            "HOME": str(directory),
            "RABBITMQ_NODENAME": f"console{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "ERL_EPMD_PORT": str(free_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq"),  # and not the machine's
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": schedulers,  # one starts in half the time
        }
        if vhosts:
            (directory / "definitions.json").write_text(json.dumps(definitions()))
            (directory / "rabbitmq.conf").write_text(
                f"load_definitions = {directory / 'definitions.json'}\n"
            )
        self.log = directory / "out.log"
        epmd = sorted(Path("/usr/lib/erlang").glob("erts-*/bin/epmd"))[-1]
        self.names = subprocess.Popen(  # or RabbitMQ starts a daemon that keeps running
            [str(epmd)], env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.start()

    @property
    def url(self) -> str:
        """The value for CELERY_BROKER_URL, with the default virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def next_url(self) -> str:
        """The same with a virtual host that has not been used."""
        self.used += 1
        return f"amqp://guest:guest@127.0.0.1:{self.port}/plain{self.used}"

    def start(self) -> None:
        """Start, and wait until it answers."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [str(self.sbin / "rabbitmq-server")],
                env=self.environment, cwd=self.log.parent, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + 120
        while not self._answers():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.2)

    def _answers(self) -> bool:
        """Whether a client gets in: the port is open some time before that."""
        try:
            with Connection(host=f"127.0.0.1:{self.port}", connect_timeout=5, read_timeout=5):
                return True
        except (OSError, AMQPError):
            return False

    def control(self, *words: str) -> None:
        """Have `rabbitmqctl` do something."""
        subprocess.run(
            [str(self.sbin / "rabbitmqctl"), *words],
            check=True, env=self.environment, stdout=subprocess.DEVNULL, timeout=60,
        )  # fmt: skip

    def send(self, number: signal.Signals) -> None:
        """Send a signal to all of the node."""
        os.killpg(self.process.pid, number)

    def stop(self) -> None:
        """Kill the node at once."""
        self.send(signal.SIGKILL)
        self.process.wait(30)

    def close(self) -> None:
        """End the node, and the name server beside it."""
        self.stop()
        self.names.kill()
        self.names.wait(30)


class Redis:
    """Debian's Redis, beside the embedded Valkey: the same protocol, another program."""

    def __init__(self, directory: Path) -> None:
        need(program := shutil.which("redis-server"), "Redis", "redis-server")
        port = free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory)]
        self.process = subprocess.Popen(
            [str(program), *options, "--appendonly", "yes"], stdout=subprocess.DEVNULL
        )

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
