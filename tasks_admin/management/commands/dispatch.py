"""`manage.py dispatch`: runs a dispatcher until it is stopped."""

import contextlib
import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError

from tasks_admin.dispatcher.loop import Loop
from tasks_admin.operations import dispatchers


class Command(BaseCommand):
    """Runs one dispatcher. One is enough, any number is safe."""

    help = "Publishes the targets of operations as they become due. One is enough, more are safe."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until SIGTERM or SIGINT."""
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        self.stdout.write("The dispatcher is running.")
        loop = Loop()
        loop.run(stop)
        with contextlib.suppress(DatabaseError):  # then its heartbeat expires
            dispatchers.record_stop(loop.name)
