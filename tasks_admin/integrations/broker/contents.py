"""What lies in the queues: how much, the next messages, and how they are taken out and put back.

Each kind of broker is a module with the same functions: `on_redis`, `on_amqp`.
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
from tasks_admin.integrations.broker.publishing import PATIENCE, connected
from tasks_admin.lib.errors import WrongState

ADAPTERS = {"redis": "redis", "amqp": "amqp"}


@dataclass(frozen=True, kw_only=True)
class Depth:
    """How much lies in a queue. None is not told by this kind of broker."""

    waiting: int
    #: Who consumes it, by the broker's count.
    consumers: int | None = None
    #: The message that is taken next.
    next: Payload | None = None


@dataclass(frozen=True, kw_only=True)
class Depths:
    """How much lies in each queue."""

    queues: dict[str, Depth]
    #: Messages of all queues that were delivered and not acknowledged; None is not told.
    unacknowledged: int | None = None


def depths(names: Iterable[str]) -> Depths:
    """Look into these queues; nothing is declared, taken or changed. 0 for what is not there.

    Raises `BrokerUnreachable`.
    """
    with connected(PATIENCE) as connection:
        queues, unacknowledged = _adapter(connection).depths(connection, list(names))
    told = {name: Depth(**last_snapshot) for name, last_snapshot in queues.items()}
    return Depths(queues=told, unacknowledged=unacknowledged)


def peek(name: str, most: int) -> list[Payload]:
    """The next messages of a queue, in the order in which they will be taken.

    RabbitMQ gives them out and takes them back: then they count as delivered once more. Raises
    `BrokerUnreachable`, and `WrongState` where a look could lose them.
    """
    with connected(PATIENCE) as connection:
        return list(_adapter(connection).peek(connection, name, most))


def stage(name: str, key: str) -> int | None:
    """Keep what waits from being taken, under a key, in one step; done twice, it is done once.

    Returns how many are to be taken where the broker can't do that: they stay in the queue until
    they are taken. Raises `BrokerUnreachable`.
    """
    with connected() as connection:
        quota: int | None = _adapter(connection).stage(connection, name, key)
        return quota


@contextmanager
def taking(name: str, key: str, most: int) -> Iterator[list[Payload]]:
    """Take the next messages out, once the block ends well; else they are all still there.

    After a crash in between the same messages come again. Raises `BrokerUnreachable`.
    """
    with connected() as connection, _adapter(connection).taking(connection, name, key, most) as got:
        yield got


def put(name: str, payloads: Sequence[Payload], key: str) -> None:
    """Put messages back, byte for byte, where `restores_first` says.

    On Redis the same key puts them back once, however often it is asked; on RabbitMQ what was not
    confirmed may be there all the same. Raises `BrokerUnreachable`.
    """
    with connected() as connection:
        _adapter(connection).put(connection, name, payloads, key)


def restores_first() -> bool:
    """Whether messages are put back before those that wait, and so the newest of them first."""
    with connected() as connection:
        return bool(_adapter(connection).AT_THE_HEAD)


def _adapter(connection: Connection) -> ModuleType:
    kind: Any = connection.transport.driver_type
    if kind not in ADAPTERS:
        text = _("This kind of broker does not let one look into its queues: %(kind)s.")
        raise WrongState(text % {"kind": kind})
    return import_module(f"tasks_admin.integrations.broker.{ADAPTERS[kind]}")
