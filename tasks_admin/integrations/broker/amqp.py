"""Queues on RabbitMQ: inspected by a passive declaration, read message by message."""

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

#: Restored messages come after those that wait.
RESTORES_FIRST = False
#: Properties that kombu adds on other brokers, and that RabbitMQ does not have.
KOMBU_PROPERTIES = {"body_encoding"}


def depths(
    connection: Connection, names: Sequence[str]
) -> tuple[dict[str, dict[str, Any]], int | None]:
    """See `contents.depths`. AMQP does not provide the number of unacknowledged messages."""
    return {name: _depth(connection, name) for name in names}, None


def peek(connection: Connection, name: str, count: int) -> list[Payload]:
    """See `contents.peek`: delivered, and requeued when the channel closes."""
    arguments = current_app.amqp.queues[name].queue_arguments or {}
    if arguments.get("x-queue-type") == "quorum":
        raise WrongState(
            _(
                "%(queue)s is a quorum queue: reading a message counts as a delivery, and the "
                "queue drops messages with too many deliveries. No message was read."
            )
            % {"queue": name}
        )
    with connection.channel() as channel:
        return [_payload(message) for message in _get(channel, name, count)]


def stage(connection: Connection, name: str, key: str) -> int:
    """See `contents.stage`: returns the number of waiting messages."""
    return int(_depth(connection, name)["waiting"])


@contextmanager
def take(connection: Connection, name: str, key: str, count: int) -> Iterator[list[Payload]]:
    """See `contents.take`: acknowledged at the end; after an error RabbitMQ requeues them."""
    opened: Any = connection.channel()
    with opened as channel:
        messages = _get(channel, name, count)
        yield [_payload(message) for message in messages]
        if messages:
            channel.basic_ack(messages[-1].delivery_tag, multiple=True)


def put(connection: Connection, name: str, payloads: Sequence[Payload], key: str) -> None:
    """See `contents.put`: published to the queue directly, each message confirmed."""
    opened: Any = connection.channel()
    with opened as channel:
        current_app.amqp.queues[name](channel).declare()
        for payload in payloads:
            envelope = loads(payload.raw.decode())
            properties = {
                k: v for k, v in envelope["properties"].items() if k not in KOMBU_PROPERTIES
            }
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
            found = channel.queue_declare(queue=name, passive=True)
    except NotFound:  # not declared yet
        return {"waiting": 0, "consumers": 0}
    return {"waiting": found.message_count, "consumers": found.consumer_count}


def _get(channel: Any, name: str, count: int) -> list[Any]:
    messages: list[Any] = []
    try:
        while len(messages) < count and (message := channel.basic_get(name, no_ack=False)):
            messages.append(message)
    except NotFound:
        return []
    return messages


def _payload(message: Any) -> Payload:
    """The message in the form in which kombu stores it on other brokers."""
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
