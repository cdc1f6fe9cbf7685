"""Consoles that several tests use, one after the other: their processes start once."""

import contextlib
import shutil
import signal
from pathlib import Path

import redis

from tests.host.executions import Executions
from tests.support.shared import SECRET_KEY, copy_sqlite, sqlite_template
from tests.support.stack import Stack


def make_stack(shared: Path, directory: Path, *, users: int = 0, **environment: str) -> Stack:
    """Return a console with a database, static files and sample users; nothing runs yet.

    With DATABASE_URL in the environment, that database must have its tables.
    """
    stack = Stack(directory, **{"SECRET_KEY": SECRET_KEY} | environment)
    directory.mkdir(exist_ok=True)
    if "DATABASE_URL" not in environment:
        copy_sqlite(shared, directory / "console.sqlite3")
    shutil.copytree(sqlite_template(shared) / "static", directory / "static")
    if users:
        stack.shell.run(f"from tests.support import sample_data; sample_data.load_users({users})")
    return stack


class Console:
    """A console of the project `tests.host`. Between two tests, only what they changed is reset."""

    def __init__(self, shared: Path, directory: Path, **environment: str) -> None:
        self.executions = Executions(directory / "executions")
        self.stack = make_stack(
            shared, directory,
            DJANGO_SETTINGS_MODULE="tests.host.settings",
            HOST_EXECUTIONS=str(self.executions.path),
            TASKS_ADMIN_MAIL_SUMMARY="0",  # another operation, which might end after the test
            **environment,
        )  # fmt: skip
        self.embedded_broker = "CELERY_BROKER_URL" not in environment

    def prepare(self, *names: str, users: int = 0) -> Stack:
        """Return the console with these processes, empty queues, and no rows except sample users.

        A process runs on if the test before has not started, stopped or configured it.
        """
        stack = self.stack
        names = (*(["broker"] if self.embedded_broker else []), *names)
        for name, process in list(stack.processes.items()):
            if name not in names or name in stack.changed or process.poll() is not None:
                self._stop(name)
        workers = [stack.worker_names[n] for n in stack.processes if n in stack.worker_names]
        active = stack.shell.run_json(
            "from tests.support import sample_data\n"
            f"print(json.dumps(sample_data.reset(users={users}, running_workers={workers!r})))"
        )
        if active or any(name.startswith(("worker", "broker")) for name in stack.changed):
            self._stop("worker")  # it may hold messages of the test before
            self._stop("dispatcher")
        self._empty_queues()
        for path in stack.emails():
            path.unlink()
        self.executions.path.unlink(missing_ok=True)
        stack.changed.clear()
        stack.start(*(name for name in names if name not in stack.processes))
        stack.changed.clear()
        self._wait(names)
        return stack

    def _stop(self, name: str) -> None:
        if name in self.stack.processes:
            with contextlib.suppress(ProcessLookupError):
                self.stack.kill(name, signal.SIGKILL)
            del self.stack.processes[name]

    def _empty_queues(self) -> None:
        """Empty the embedded broker. What running workers have declared in it stays."""
        if not self.embedded_broker:
            self.stack.shell.run(PURGE)
            return
        if "broker" not in self.stack.processes:
            shutil.rmtree(self.stack.directory / "broker", ignore_errors=True)
            return
        with contextlib.closing(redis.Redis.from_url(self.stack.broker_url)) as client:
            if "worker" not in self.stack.processes:
                client.flushall()
            else:
                client.delete("celery", "mail")

    def _wait(self, names: tuple[str, ...]) -> None:
        if "broker" in names:
            self.stack.wait_for_broker()
        if "web" in names and "worker" in names:
            self.stack.ready()
        elif "web" in names:
            self.stack.wait_for_web()

    def close(self) -> None:
        """Kill all processes."""
        self.stack.close()


#: Empties the queues of RabbitMQ.
PURGE = """
from kombu import Connection
from django.conf import settings
with Connection(settings.CELERY_BROKER_URL) as connection:
    channel = connection.channel()
    for queue in settings.CELERY_TASK_QUEUES:
        bound = queue(channel)
        bound.declare()
        bound.purge()
"""
