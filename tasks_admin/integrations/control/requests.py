"""Asking: one command to all workers or some, until those who are expected have answered."""

import contextlib
import re
import time
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from celery import current_app
from celery.app.control import Control
from django.db import DatabaseError
from kombu import Producer
from kombu.pidbox import Mailbox

from tasks_admin.integrations.broker import PATIENCE, connected
from tasks_admin.lib.conf import settings
from tasks_admin.models import Worker

#: Seconds after which nobody is listened to any more, however much they say.
DEADLINE = 5.0


class _Enough(Exception):
    """All who were expected have answered."""


class _OneTry(Producer):
    """Publishes once: kombu's mailbox would try for ever, and hold whoever looks at a page."""

    def publish(self, body: Any, **options: Any) -> Any:  # type: ignore[override]
        """Raise what goes wrong."""
        return super().publish(body, **options | {"retry": False, "confirm_timeout": PATIENCE})


class _Mailbox(Mailbox):
    """Publishes on the connection that it is given, and never on one of the process's pool."""

    @contextlib.contextmanager
    def producer_or_acquire(self, producer: Any = None, channel: Any = None) -> Iterator[Producer]:
        """A producer of our own."""
        yield _OneTry(channel, auto_declare=False)


class _Control(Control):
    Mailbox = _Mailbox


def ask(
    command: str,
    *,
    arguments: dict[str, Any] | None = None,
    destination: Iterable[str] | None = None,
    expected: Collection[str] = (),
    without: Collection[str] = (),
    limit: int | None = None,
    reply: bool = True,
) -> list[tuple[str, Any]]:
    """Return what workers answer: (name, reply), in the order in which it came.

    Asks those of `destination`, or all but those of `without`. Waits until all of `expected` have
    answered, and for `CONTROL_TIMEOUT` seconds after the last answer at most; all of that when
    nobody in particular is expected. Raises `BrokerUnreachable`. Silence is no answer: who did not
    answer may still do what it was told.
    """
    control: Any = _Control(current_app)
    heard: list[tuple[str, Any]] = []
    missing, over = set(expected), time.monotonic() + DEADLINE

    def hear(body: Any) -> None:
        if not isinstance(body, dict):
            return
        heard.extend((str(name), said) for name, said in body.items())
        missing.difference_update(body)
        if (expected and not missing) or time.monotonic() > over:
            raise _Enough

    with connected(PATIENCE) as connection, contextlib.suppress(_Enough):
        control.broadcast(
            command,
            arguments=arguments,
            destination=list(destination) if destination is not None else None,
            reply=reply,
            timeout=settings.CONTROL_TIMEOUT,
            limit=limit,
            callback=hear if reply else None,
            connection=connection,
            **_all_but(without),
        )
    return heard


def _all_but(names: Collection[str]) -> dict[str, str]:
    """How kombu is told that these are not asked."""
    if not names:
        return {}
    excluded = "|".join(re.escape(name) for name in sorted(names))
    return {"pattern": rf"(?!(?:{excluded})\Z)", "matcher": "pcre"}


def online() -> set[str]:
    """The workers that gave a sign of life a moment ago: they should answer."""
    return _named(Worker.objects.online)


def may_hold_tasks() -> set[str]:
    """The workers that may hold tasks: seen within `LOST_AFTER`, and not known to have stopped."""
    return _named(Worker.objects.may_hold_tasks)


def _named(which: Any) -> set[str]:
    try:
        return set(which().values_list("name", flat=True))
    except DatabaseError:  # then nobody in particular is expected
        return set()
