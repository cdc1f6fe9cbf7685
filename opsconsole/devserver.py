"""The development server: `make run` and `make demo` check, prepare and start all processes."""

import argparse
import contextlib
import fcntl
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import django
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from honcho.environ import parse_procfile
from honcho.manager import Manager

from opsconsole import supervise
from opsconsole.environment import BASE_DIR, Instance, read_instance

LOCK_NAME = "devserver.lock"
#: Seconds after the web server responds: a starting worker prints a long banner.
BANNER_DELAY = 3


def main() -> int:
    """Start the console; return the exit code for the shell."""
    parser = argparse.ArgumentParser(prog="make run", description="Start all processes.")
    parser.add_argument("--demo", type=int, metavar="USERS", help="number of sample users to load")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsconsole.settings")
    try:
        instance = read_instance()
        with locked(instance.data_dir):
            prepare(instance, demo=options.demo)
            return start(demo=options.demo is not None)
    except (ImproperlyConfigured, CommandError, StartError) as error:
        print(error, file=sys.stderr)
        return 1


class StartError(Exception):
    """The console cannot start. The message states the reason and the fix."""


@contextlib.contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold the lock of the data directory. The supervisors stop when it is released.

    One console at a time uses a directory. Only its user may read the files in it: password
    hashes, sessions, emails.
    """
    os.umask(0o077)
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        file: IO[str] = open(data_dir / LOCK_NAME, "w")  # noqa: SIM115 (held until the process ends)
    except OSError as error:
        raise StartError(
            f"The data directory {data_dir} is not writable ({error.strerror}). "
            "Set DATA_DIR to a directory that you own."
        ) from None
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StartError(
                f"Another console is running in {data_dir}. "
                "Stop it, or set DATA_DIR and PORT to other values."
            ) from None
        os.environ[supervise.LOCK_VARIABLE] = str(data_dir / LOCK_NAME)
        yield


def prepare(instance: Instance, *, demo: int | None) -> None:
    """Check the ports, migrate the database, and create a superuser if there is none."""
    django.setup()
    from django.conf import settings

    ports = {"the web server": instance.port}
    if settings.EMBEDDED_BROKER:
        ports["the embedded broker"] = instance.broker_port
    if settings.MAIL_CATCHER_DIR:
        ports["the mail catcher"] = instance.smtp_port
    for server, port in ports.items():
        require_free(port, server)
    call_command("migrate", interactive=False, verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    call_command("check", fail_level="ERROR", verbosity=0)
    if demo is not None:
        call_command("load_demo", users=demo)
    lines = [create_superuser(), f"Console: {settings.HOST_URL}/admin/", "Press Ctrl-C to stop."]
    text = "\n".join(f"  {line}" for line in lines if line)
    threading.Thread(target=announce, args=(instance.port, text), daemon=True).start()


def require_free(port: int, server: str) -> None:
    """Raise `StartError` if another process uses the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise StartError(
                f"Port {port}, for {server}, is in use. "
                "Set PORT to the first of three consecutive free ports."
            ) from None


def announce(port: int, text: str) -> None:
    """Print the text once the web server responds, below the output of the starting processes."""
    while True:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.5)
    time.sleep(BANNER_DELAY)
    print(f"\n{text}\n", flush=True)


def create_superuser() -> str:
    """Create the first superuser; return how to sign in, with the password if it is generated."""
    from django.contrib.auth import get_user_model

    users = get_user_model()._default_manager
    if users.filter(is_superuser=True).exists():
        return ""
    name = os.environ.get("DJANGO_SUPERUSER_USERNAME") or "admin"
    password = os.environ.get("DJANGO_SUPERUSER_PASSWORD")
    generated = "" if password else secrets.token_urlsafe(12)
    email = os.environ.get("DJANGO_SUPERUSER_EMAIL") or f"{name}@localhost"
    users.create_superuser(name, email, password or generated)
    if generated:
        return f"Sign in as {name} with the password {generated} (shown only once)."
    return f"Sign in as {name} with the password of DJANGO_SUPERUSER_PASSWORD."


def start(*, demo: bool) -> int:
    """Run the processes of the Procfile until one of them exits or a signal stops this one."""
    from django.conf import settings

    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = os.environ | {"PATH": path, "PYTHONUNBUFFERED": "1"}
    if demo:
        environment["OPSCONSOLE_DEMO"] = "1"
    omitted = set() if settings.EMBEDDED_BROKER else {"broker"}
    omitted |= set() if settings.MAIL_CATCHER_DIR else {"mail"}
    manager = Manager()
    procfile = parse_procfile((BASE_DIR / "Procfile").read_text())
    for name, command in procfile.processes.items():
        if name not in omitted:
            manager.add_process(name, f"exec {command}", env=environment, cwd=str(BASE_DIR))
    if "MAKELEVEL" in os.environ:
        threading.Thread(target=watch_make, args=(os.getppid(),), daemon=True).start()
    manager.loop()
    # Ctrl-C and SIGTERM are the usual ways to stop the server, not failures.
    return 0 if manager.returncode in {0, 130, 143} else int(manager.returncode or 1)


def watch_make(parent: int) -> None:
    """Stop this process if `make` is killed: Ctrl-C would no longer reach it."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
