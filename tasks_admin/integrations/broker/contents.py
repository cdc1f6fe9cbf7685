"""The messages in the queues: their number, the next ones; taking them out, and putting them back.

Each kind of broker is a module with the same functions: `redis`, `amqp`.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

from django.utils.translation import gettext as _
from kombu import Connection

from tasks_admin.integrations.broker.payloads import Payload
from tasks_admin.integrations.broker.publishing import PAGE_TIMEOUT, connect
from tasks_admin.lib.errors import WrongState

ADAPTERS = {"redis": "redis", "amqp": "amqp"}


@dataclass(frozen=True, kw_only=True)
class QueueDepth:
    """The messages in a queue. None: this kind of broker does not provide the value."""

    waiting: int
    #: Its consumers, as the broker counts them.
    consumers: int | None = None
    #: The message that will be delivered next.
    next: Payload | None = None


@dataclass(frozen=True, kw_only=True)
class QueueDepths:
    """The messages in each queue."""

    queues: dict[str, QueueDepth]
    #: Delivered messages of all queues that are not acknowledged; None: not provided.
    unacknowledged: int | None = None


def depths(names: Iterable[str]) -> QueueDepths:
    """The messages in these queues; 0 for a queue that does not exist. Changes nothing.

    Raises `BrokerUnreachable`.
    """
    with connect(PAGE_TIMEOUT) as connection:
        queues, unacknowledged = _adapter(connection).depths(connection, list(names))
    found = {name: QueueDepth(**values) for name, values in queues.items()}
    return QueueDepths(queues=found, unacknowledged=unacknowledged)


def peek(name: str, count: int) -> list[Payload]:
    """The next messages of a queue, at most `count`, in the order of their delivery.

    RabbitMQ delivers and requeues them: they count as delivered once more. Raises
    `BrokerUnreachable`, and `WrongState` if that could lose messages.
    """
    with connect(PAGE_TIMEOUT) as connection:
        return list(_adapter(connection).peek(connection, name, count))


def stage(name: str, key: str) -> int | None:
    """Withdraw the waiting messages from delivery under a key, in one step. Idempotent.

    Returns the number of messages to take if the broker has no such step: they stay in the queue
    until `take` removes them. Raises `BrokerUnreachable`.
    """
    with connect() as connection:
        quota: int | None = _adapter(connection).stage(connection, name, key)
        return quota


@contextmanager
def take(name: str, key: str, count: int) -> Iterator[list[Payload]]:
    """Yield the next messages, at most `count`, and remove them if the block raises no error.

    After a crash in the block the same messages come again. Raises `BrokerUnreachable`.
    """
    with connect() as connection, _adapter(connection).take(connection, name, key, count) as taken:
        yield taken


def put(name: str, payloads: Sequence[Payload], key: str) -> None:
    """Put messages back unchanged, at the end of the queue that `restores_first` names.

    On Redis a second call with the same key has no effect; on RabbitMQ messages that were not
    confirmed may be there all the same. Raises `BrokerUnreachable`.
    """
    with connect() as connection:
        _adapter(connection).put(connection, name, payloads, key)


def restores_first() -> bool:
    """Whether `put` restores before the waiting messages; then restore the newest first."""
    with connect() as connection:
        return bool(_adapter(connection).RESTORES_FIRST)


def _adapter(connection: Connection) -> ModuleType:
    kind: Any = connection.transport.driver_type
    if kind not in ADAPTERS:
        text = _("The console can't read the queues of this kind of broker: %(kind)s.")
        raise WrongState(text % {"kind": kind})
    return import_module(f"tasks_admin.integrations.broker.{ADAPTERS[kind]}")
