"""Requests: one command to all workers, or to some, until the expected ones have replied."""

import contextlib
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from celery import current_app
from celery.app.control import Control
from django.db import DatabaseError
from kombu import Producer
from kombu.pidbox import Mailbox

from tasks_admin.integrations.broker import PAGE_TIMEOUT, connect
from tasks_admin.lib.conf import settings
from tasks_admin.models import Worker

#: Seconds after which replies are no longer collected, however many arrive.
COLLECT_TIMEOUT = 5.0


class _Complete(Exception):
    """All expected workers have replied."""


class _SingleTryProducer(Producer):
    """Publishes without retries: kombu's mailbox would retry forever, and block the page."""

    def publish(self, body: Any, **options: Any) -> Any:  # type: ignore[override]
        """Raise the first error."""
        once = {"retry": False, "confirm_timeout": PAGE_TIMEOUT}
        return super().publish(body, **options | once)


class _Mailbox(Mailbox):
    """Publishes on the given connection, never on one of the process's pool."""

    @contextlib.contextmanager
    def producer_or_acquire(self, producer: Any = None, channel: Any = None) -> Iterator[Producer]:
        """Yield a producer of its own."""
        yield _SingleTryProducer(channel, auto_declare=False)


class _Control(Control):
    Mailbox = _Mailbox


def request(
    command: str,
    *,
    arguments: dict[str, Any] | None = None,
    destination: Iterable[str] | None = None,
    expected: Collection[str] = (),
    without: Collection[str] = (),
    limit: int | None = None,
    reply: bool = True,
) -> list[tuple[str, Any]]:
    """Send a command, and return the replies in the order of their arrival: (worker, reply).

    The command goes to the workers of `destination`, or to all but those of `without`. Returns
    when all of `expected` have replied, or `CONTROL_TIMEOUT` seconds after the last reply; always
    after that time if no worker is expected. Raises `BrokerUnreachable`. A missing reply means
    neither success nor failure: the worker may still execute the command.
    """
    control: Any = _Control(current_app)
    replies: list[tuple[str, Any]] = []
    missing, deadline = set(expected), time.monotonic() + COLLECT_TIMEOUT

    def collect(body: Any) -> None:
        if not isinstance(body, dict):
            return
        replies.extend((str(name), payload) for name, payload in body.items())
        missing.difference_update(body)
        if (expected and not missing) or time.monotonic() > deadline:
            raise _Complete

    with connect(PAGE_TIMEOUT) as connection, contextlib.suppress(_Complete):
        control.broadcast(
            command,
            arguments=arguments,
            destination=list(destination) if destination is not None else None,
            reply=reply,
            timeout=settings.CONTROL_TIMEOUT,
            limit=limit,
            callback=collect if reply else None,
            connection=connection,
            **_all_but(without),
        )
    return replies


def _all_but(names: Collection[str]) -> dict[str, str]:
    """The options of kombu that exclude these workers."""
    if not names:
        return {}
    excluded = "|".join(re.escape(name) for name in sorted(names))
    return {"pattern": rf"(?!(?:{excluded})\Z)", "matcher": "pcre"}


def online() -> set[str]:
    """The names of the workers with a recent heartbeat: they should reply."""
    return _names(Worker.objects.online)


def may_hold_tasks() -> set[str]:
    """The names of the workers seen within `LOST_AFTER`, and not known to have stopped."""
    return _names(Worker.objects.may_hold_tasks)


def _names(workers: Callable[[], Any]) -> set[str]:
    try:
        return set(workers().values_list("name", flat=True))
    except DatabaseError:  # then no particular worker is expected
        return set()
