"""The connection to the database, for code that must survive a restart of its server."""

import select
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from django.db import InterfaceError, OperationalError, connection, connections

#: The errors of a database that is stopped, read-only, locked, or out of connections.
UNAVAILABLE_ERRORS = (OperationalError, InterfaceError)
#: Seconds for which a statement is retried. Shorter than the time limits of the tasks.
RETRY_TIMEOUT = 6.0
#: Seconds between two checks of an open connection by a query.
CHECK_INTERVAL = 5.0

T = TypeVar("T")
_checked = threading.local()


def retry_until_available(function: Callable[[], T], *, timeout: float = RETRY_TIMEOUT) -> T:
    """Call `function` until the database is available, each time on a new connection.

    Raises the database's error after `timeout` seconds. `function` must be idempotent.
    """
    deadline = time.monotonic() + timeout
    pause = 0.1
    while True:
        try:
            return function()
        except UNAVAILABLE_ERRORS:
            if time.monotonic() + pause > deadline or connection.in_atomic_block:
                raise
            connection.close()
            time.sleep(pause)
            pause = min(pause * 2, 1.0)


def drop_dead_connections() -> None:
    """Close connections that the server has closed; the next query opens a new one.

    This takes microseconds: the socket of such a connection is readable. Every few seconds
    Django's own checks follow (the age of the connection, and a query before the next use).
    """
    now = time.monotonic()
    due = now - getattr(_checked, "at", 0.0) >= CHECK_INTERVAL
    _checked.at = now if due else getattr(_checked, "at", now)
    for wrapper in connections.all(initialized_only=True):
        if wrapper.connection is None or wrapper.in_atomic_block:
            continue
        if _is_dead(wrapper.connection):
            wrapper.close()
        elif due or wrapper.errors_occurred:
            wrapper.close_if_unusable_or_obsolete()


def _is_dead(driver_connection: Any) -> bool:
    """Whether the server has closed the connection: its socket is readable. SQLite has none."""
    try:
        number = driver_connection.fileno()
    except AttributeError:
        return False
    except Exception:  # psycopg's own errors are not Django's: it is closed
        return True
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(0))
