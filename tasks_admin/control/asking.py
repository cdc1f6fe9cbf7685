"""Asking: one command to all workers or some, until those who are expected have answered."""

import contextlib
from collections.abc import Collection, Iterable
from typing import Any

from celery import current_app
from celery.app.control import Control
from django.db import DatabaseError

from tasks_admin.broker import PATIENCE, connected
from tasks_admin.conf import settings
from tasks_admin.models import Worker


class _Enough(Exception):
    """All who were expected have answered."""


def ask(
    command: str,
    *,
    arguments: dict[str, Any] | None = None,
    destination: Iterable[str] | None = None,
    expected: Collection[str] = (),
    limit: int | None = None,
    reply: bool = True,
) -> list[tuple[str, Any]]:
    """Return what workers answer: (name, reply), in the order in which it came.

    Waits until all of `expected` have answered, for `CONTROL_TIMEOUT` seconds at most; the whole
    of it when nobody in particular is expected. Raises `BrokerUnreachable`. Silence is no answer:
    who did not answer may still do what it was told.
    """
    control: Any = Control(current_app)
    control.mailbox._producer_pool = None  # publish on the connection passed, not on a pooled one
    heard: list[tuple[str, Any]] = []
    missing = set(expected)

    def hear(body: Any) -> None:
        if not isinstance(body, dict):
            return
        heard.extend((str(name), said) for name, said in body.items())
        missing.difference_update(body)
        if expected and not missing:
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
        )
    return heard


def believed() -> set[str]:
    """The workers that gave a sign of life a moment ago: they should answer."""
    return _named(Worker.objects.believed)


def entrusted() -> set[str]:
    """The workers that may hold tasks: seen within `LOST_AFTER`, and not known to have stopped."""
    return _named(Worker.objects.entrusted)


def _named(which: Any) -> set[str]:
    try:
        return set(which().values_list("name", flat=True))
    except DatabaseError:  # then nobody in particular is expected
        return set()
