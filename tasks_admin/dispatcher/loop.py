"""The loop of a dispatcher: sweep, watch queues and commands, look for lost tasks."""

import logging
import os
import socket
import threading
import time

from django.db import DatabaseError, close_old_connections, connection

from tasks_admin import queues
from tasks_admin.dispatcher.publishing import sweep
from tasks_admin.lib.errors import BrokerUnreachable
from tasks_admin.operations import dispatchers
from tasks_admin.results import counters, lost
from tasks_admin.workers import commands

logger = logging.getLogger("tasks_admin.dispatcher")

#: Seconds between two rounds; after a failed round the pause doubles, up to `MAX_PAUSE`.
MIN_PAUSE, MAX_PAUSE = 0.5, 5.0
#: Seconds between two samples of queues, counts of results and follow-ups of worker commands.
WATCH_INTERVAL = 10.0


class Loop:
    """One dispatcher. One is enough, any number is safe."""

    def __init__(self) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.scanner = lost.Scanner()
        self.heartbeat_at = self.watched_at = float("-inf")
        #: Not immediately: the workers may still be starting.
        self.scanned_at = time.monotonic()

    def run(self, stop: threading.Event) -> None:
        """Do rounds until `stop` is set."""
        pause = MIN_PAUSE
        while not stop.wait(pause):
            pause = self.round(pause)

    def round(self, pause: float = MIN_PAUSE) -> float:
        """Do one round; return the seconds to wait before the next."""
        try:
            close_old_connections()
            self._record_heartbeat()
            sweep()
            self._watch()
            self._scan_for_lost_tasks()
        except BrokerUnreachable:
            logger.warning("The broker is unavailable. Due targets wait until it recovers.")
        except DatabaseError as error:
            logger.warning("The database is unavailable (%s).", type(error).__name__)
            connection.close()
        else:
            return MIN_PAUSE
        return min(pause * 2, MAX_PAUSE)

    def _record_heartbeat(self) -> None:
        if time.monotonic() - self.heartbeat_at > dispatchers.HEARTBEAT_INTERVAL:
            dispatchers.record_heartbeat(self.name)
            self.heartbeat_at = time.monotonic()

    def _watch(self) -> None:
        if time.monotonic() - self.watched_at > WATCH_INTERVAL:
            self.watched_at = time.monotonic()
            queues.record_minute()
            counters.count_next()
            commands.follow_up()

    def _scan_for_lost_tasks(self) -> None:
        if time.monotonic() - self.scanned_at > lost.SCAN_INTERVAL:
            self.scanned_at = time.monotonic()
            if count := self.scanner.scan_next():
                logger.warning("%d tasks are lost.", count)
