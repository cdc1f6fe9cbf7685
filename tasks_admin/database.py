"""The door to the database for who must not give up: it goes away for seconds when it restarts."""

import time
from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connection

#: What the database raises when it is away, read-only, locked, or out of connections.
AWAY = (OperationalError, InterfaceError)
#: Seconds to insist by default. Shorter than the time limits of the tasks that call it.
PATIENCE = 6.0

T = TypeVar("T")


def insist(act: Callable[[], T], *, patience: float = PATIENCE) -> T:
    """Call `act` until the database answers, each time on a fresh connection.

    Raises the database's own error after `patience` seconds. `act` must bear being called again.
    """
    deadline = time.monotonic() + patience
    pause = 0.1
    while True:
        try:
            return act()
        except AWAY:
            if time.monotonic() + pause > deadline or connection.in_atomic_block:
                raise
            connection.close()
            time.sleep(pause)
            pause = min(pause * 2, 1.0)
