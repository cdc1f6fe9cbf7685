"""`manage.py dispatch`: publish what operations want done, for as long as it runs."""

import logging
import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError, close_old_connections, connection

from tasks_admin import dispatch
from tasks_admin.errors import BrokerUnreachable

logger = logging.getLogger("tasks_admin.dispatch")

#: Seconds between two rounds; after a round that failed the pause doubles, up to LONGEST.
PAUSE = 0.5
LONGEST = 5.0


class Command(BaseCommand):
    """One is enough, any number is safe."""

    help = "Publishes the targets of operations as they become due. One is enough, more are safe."

    def handle(self, *args: Any, **options: Any) -> None:
        """Sweep until told to stop."""
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        self.stdout.write("The dispatcher is at work.")
        pause = PAUSE
        while not stop.wait(pause):
            pause = self.sweep(pause)

    def sweep(self, pause: float) -> float:
        """Do one round; return how long to wait before the next."""
        try:
            close_old_connections()
            dispatch.sweep()
        except BrokerUnreachable:
            logger.warning("What is due waits for the broker.")
        except DatabaseError as error:
            logger.warning("The database is away (%s).", type(error).__name__)
            connection.close()
        else:
            return PAUSE
        return min(pause * 2, LONGEST)
