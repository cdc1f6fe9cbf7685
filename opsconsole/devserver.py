"""What `make run` and `make demo` do: look around, prepare, and start every process."""

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
from opsconsole.environment import BASE_DIR, Places, places

LOCK = "runner.lock"


def main() -> int:
    """Start the console; return the exit code for the shell."""
    parser = argparse.ArgumentParser(prog="make run", description="Start the whole console.")
    parser.add_argument("--demo", type=int, metavar="USERS", help="with so many sample users")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsconsole.settings")
    try:
        here = places()
        with held(here.data_dir):
            prepare(here, demo=options.demo)
            return start(demo=options.demo is not None)
    except (ImproperlyConfigured, CommandError, Refused) as error:
        print(error, file=sys.stderr)
        return 1


class Refused(Exception):
    """The console can't start here. The text says why, and what to do."""


@contextlib.contextmanager
def held(data_dir: Path) -> Iterator[None]:
    """Hold the directory's lock: one console a directory. The tethers watch the same lock.

    What the console keeps there (password hashes, sessions, mails) is for its own user alone.
    """
    os.umask(0o077)
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        file: IO[str] = open(data_dir / LOCK, "w")  # noqa: SIM115 (held until the process ends)
    except OSError as error:
        text = (
            f"{data_dir} can't be written ({error.strerror}). Set DATA_DIR to a directory of yours."
        )
        raise Refused(text) from None
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            text = f"A console runs in {data_dir} already. Stop it, or set DATA_DIR and PORT."
            raise Refused(text) from None
        os.environ[supervise.LOCK_VARIABLE] = str(data_dir / LOCK)
        yield


def prepare(here: Places, *, demo: int | None) -> None:
    """Check the ports, bring the database up to date, and see that somebody can sign in."""
    django.setup()
    from django.conf import settings

    ports = {"the web server": here.port}
    if settings.EMBEDDED_BROKER:
        ports["the embedded broker"] = here.broker_port
    if settings.MAIL_CATCHER_DIR:
        ports["the mail catcher"] = here.smtp_port
    for owner, port in ports.items():
        require_free(port, owner)
    call_command("migrate", interactive=False, verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    call_command("check", fail_level="ERROR", verbosity=0)
    if demo is not None:
        call_command("load_demo", users=demo)
    words = [first_superuser(), f"The console: {settings.HOST_URL}/admin/", "Stop it with Ctrl-C."]
    text = "\n".join(f"  {line}" for line in words if line)
    threading.Thread(target=announce, args=(here.port, text), daemon=True).start()


def require_free(port: int, owner: str) -> None:
    """Raise `Refused` when somebody else has the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            text = f"Port {port}, for {owner}, is in use. Set PORT to another (it takes three)."
            raise Refused(text) from None


def announce(port: int, text: str) -> None:
    """Say where to go, once somebody answers there: below what the processes say as they start."""
    while True:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.5)
    time.sleep(3)  # the worker's greeting is long
    print(f"\n{text}\n", flush=True)


def first_superuser() -> str:
    """Make the first superuser; return how to sign in, with the password if it was made up."""
    from django.contrib.auth import get_user_model

    users = get_user_model()._default_manager
    if users.filter(is_superuser=True).exists():
        return ""
    name = os.environ.get("DJANGO_SUPERUSER_USERNAME") or "admin"
    given = os.environ.get("DJANGO_SUPERUSER_PASSWORD")
    password = given or secrets.token_urlsafe(12)
    email = os.environ.get("DJANGO_SUPERUSER_EMAIL") or f"{name}@localhost"
    users.create_superuser(name, email, password)
    return f"Sign in as {name}, password {'as given' if given else f'{password} (shown this once)'}"


def start(*, demo: bool) -> int:
    """Run the Procfile until one process ends or the runner is told to stop."""
    from django.conf import settings

    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = os.environ | {"PATH": path, "PYTHONUNBUFFERED": "1"}
    if demo:
        environment["OPSCONSOLE_DEMO"] = "1"
    unneeded = set() if settings.EMBEDDED_BROKER else {"broker"}
    unneeded |= set() if settings.MAIL_CATCHER_DIR else {"mail"}
    manager = Manager()
    procfile = parse_procfile((BASE_DIR / "Procfile").read_text())
    for name, command in procfile.processes.items():
        if name not in unneeded:
            manager.add_process(name, f"exec {command}", env=environment, cwd=str(BASE_DIR))
    if "MAKELEVEL" in os.environ:
        threading.Thread(target=watch_make, args=(os.getppid(),), daemon=True).start()
    manager.loop()
    # Ctrl-C is how one stops it: no failure.
    return 0 if manager.returncode in {0, 130, 143} else int(manager.returncode or 1)


def watch_make(parent: int) -> None:
    """Stop when `make` was killed: nobody is left to press Ctrl-C."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
