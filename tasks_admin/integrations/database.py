"""The door to the database for who must not give up: it goes away for seconds when it restarts."""

import select
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from django.db import InterfaceError, OperationalError, connection, connections

#: What the database raises when it is away, read-only, locked, or out of connections.
UNAVAILABLE_ERRORS = (OperationalError, InterfaceError)
#: Seconds to insist by default. Shorter than the time limits of the tasks that call it.
PATIENCE = 6.0
#: Seconds after which an open connection is asked whether it still works.
CHECK_EVERY = 5.0

T = TypeVar("T")
_checked = threading.local()


def retry_until_available(act: Callable[[], T], *, patience: float = PATIENCE) -> T:
    """Call `act` until the database answers, each time on a fresh connection.

    Raises the database's own error after `patience` seconds. `act` must bear being called again.
    """
    deadline = time.monotonic() + patience
    pause = 0.1
    while True:
        try:
            return act()
        except UNAVAILABLE_ERRORS:
            if time.monotonic() + pause > deadline or connection.in_atomic_block:
                raise
            connection.close()
            time.sleep(pause)
            pause = min(pause * 2, 1.0)


def drop_dead_connections() -> None:
    """Drop connections that were cut while nobody used them; the next query makes a new one.

    It costs microseconds: whoever ended the connection left something to read. Every few seconds
    Django's own checks follow (age, and a query before the next use).
    """
    now = time.monotonic()
    due = now - getattr(_checked, "at", 0.0) >= CHECK_EVERY
    _checked.at = now if due else getattr(_checked, "at", now)
    for one in connections.all(initialized_only=True):
        if one.connection is None or one.in_atomic_block:
            continue
        if _was_cut(one.connection):
            one.close()
        elif due or one.errors_occurred:
            one.close_if_unusable_or_obsolete()


def _was_cut(raw: Any) -> bool:
    """Whether the server hung up: its socket has an end to read. SQLite has no sockets."""
    try:
        number = raw.fileno()
    except AttributeError:
        return False
    except Exception:  # psycopg's own errors are not Django's: it is closed
        return True
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(0))
