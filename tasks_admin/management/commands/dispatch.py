"""`manage.py dispatch`: publish what operations want done, for as long as it runs."""

import contextlib
import logging
import os
import signal
import socket
import threading
import time
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError, close_old_connections, connection

from tasks_admin import dispatcher, queues
from tasks_admin.lib.errors import BrokerUnreachable
from tasks_admin.operations import dispatchers
from tasks_admin.results import counters, lost
from tasks_admin.workers import commands

logger = logging.getLogger("tasks_admin.dispatcher")

#: Seconds between two rounds; after a round that failed the pause doubles, up to LONGEST.
PAUSE = 0.5
#: Seconds between two looks into the queues, at what ended, and at orders nobody heard of.
NOTE_EVERY = 10.0
LONGEST = 5.0
NAME = f"{socket.gethostname()}:{os.getpid()}"


class Command(BaseCommand):
    """One is enough, any number is safe."""

    #: When this dispatcher last said that it is at work.
    signed = float("-inf")
    #: When it last looked for what is lost; not at once: workers may be starting too.
    looked = time.monotonic()
    search = lost.Search()
    #: When it last noted how the queues are.
    noted = float("-inf")

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
        with contextlib.suppress(DatabaseError):  # then its row grows old by itself
            dispatchers.sign_off(NAME)

    def sweep(self, pause: float) -> float:
        """Do one round; return how long to wait before the next."""
        try:
            close_old_connections()
            if time.monotonic() - self.signed > dispatchers.HEARTBEAT_INTERVAL:
                dispatchers.record_heartbeat(NAME)
                self.signed = time.monotonic()
            dispatcher.sweep()
            if time.monotonic() - self.noted > NOTE_EVERY:
                self.noted = time.monotonic()
                queues.record_minute()
                counters.count_next()
                commands.follow_up()
            if time.monotonic() - self.looked > lost.EVERY:
                self.looked = time.monotonic()
                if count := self.search.scan_next():
                    logger.warning("%d tasks are lost.", count)
        except BrokerUnreachable:
            logger.warning("What is due waits for the broker.")
        except DatabaseError as error:
            logger.warning("The database is away (%s).", type(error).__name__)
            connection.close()
        else:
            return PAUSE
        return min(pause * 2, LONGEST)
