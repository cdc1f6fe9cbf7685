"""Queues on RabbitMQ: looked at by asking for them, taken message by message."""

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from amqp import Message
from amqp.exceptions import NotFound
from celery import current_app
from django.utils.translation import gettext as _
from kombu import Connection
from kombu.utils.json import dumps, loads

from tasks_admin.integrations.broker.payloads import Payload
from tasks_admin.lib.errors import WrongState

#: What was put back comes after all that waits.
AT_THE_HEAD = False
#: What kombu notes elsewhere, and RabbitMQ does not know.
OURS = {"body_encoding"}


def depths(
    connection: Connection, names: Sequence[str]
) -> tuple[dict[str, dict[str, Any]], int | None]:
    """See `contents.depths`. What is not acknowledged RabbitMQ tells elsewhere only."""
    return {name: _depth(connection, name) for name in names}, None


def peek(connection: Connection, name: str, most: int) -> list[Payload]:
    """See `contents.peek`: given out, and given back when the channel is closed."""
    arguments = current_app.amqp.queues[name].queue_arguments or {}
    if arguments.get("x-queue-type") == "quorum":
        raise WrongState(
            _(
                "%(queue)s is a quorum queue: it counts each look as a delivery, and drops what "
                "was delivered too often. Nothing was looked at."
            )
            % {"queue": name}
        )
    with connection.channel() as channel:
        return [_payload(message) for message in _got(channel, name, most)]


def stage(connection: Connection, name: str, key: str) -> int:
    """See `contents.stage`: how many wait."""
    return int(_depth(connection, name)["waiting"])


@contextmanager
def taking(connection: Connection, name: str, key: str, most: int) -> Iterator[list[Payload]]:
    """See `contents.taking`: acknowledged at the end, given back if it does not come to that."""
    opened: Any = connection.channel()
    with opened as channel:
        got = _got(channel, name, most)
        yield [_payload(message) for message in got]
        if got:
            channel.basic_ack(got[-1].delivery_tag, multiple=True)


def put(connection: Connection, name: str, payloads: Sequence[Payload], key: str) -> None:
    """See `contents.put`: published to the queue itself, each confirmed."""
    opened: Any = connection.channel()
    with opened as channel:
        current_app.amqp.queues[name](channel).declare()
        for payload in payloads:
            envelope = loads(payload.raw.decode())
            properties = {k: v for k, v in envelope["properties"].items() if k not in OURS}
            message = Message(
                base64.b64decode(envelope["body"]),
                application_headers=envelope["headers"],
                content_type=envelope["content-type"],
                content_encoding=envelope["content-encoding"],
                **properties,
            )
            channel.basic_publish(message, exchange="", routing_key=name)


def _depth(connection: Connection, name: str) -> dict[str, int]:
    opened: Any = connection.channel()
    try:
        with opened as channel:
            told = channel.queue_declare(queue=name, passive=True)
    except NotFound:  # nobody has declared it yet
        return {"waiting": 0, "consumers": 0}
    return {"waiting": told.message_count, "consumers": told.consumer_count}


def _got(channel: Any, name: str, most: int) -> list[Any]:
    got: list[Any] = []
    try:
        while len(got) < most and (message := channel.basic_get(name, no_ack=False)):
            got.append(message)
    except NotFound:
        return []
    return got


def _payload(message: Any) -> Payload:
    """The message in the form that kombu gives it on other brokers."""
    properties = dict(message.properties)
    body = message.body if isinstance(message.body, bytes) else str(message.body).encode()
    envelope = {
        "body": base64.b64encode(body).decode(),
        "content-type": properties.pop("content_type", None),
        "content-encoding": properties.pop("content_encoding", None),
        "headers": properties.pop("application_headers", None) or {},
        "properties": properties | {"body_encoding": "base64"},
    }
    return Payload(raw=dumps(envelope).encode(), priority=int(properties.get("priority") or 0))
