"""Publishing: batches of messages, with timeouts, without kombu's retries."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from celery import current_app, signals
from django.utils.translation import gettext as _
from kombu import Connection, Producer, Queue
from kombu.exceptions import KombuError

from tasks_admin.integrations.broker.registry import publish_options
from tasks_admin.lib.errors import BrokerUnreachable, QueueFull

logger = logging.getLogger(__name__)

#: Messages that are sent with one flush.
BATCH_SIZE = 500
#: Seconds that a page waits for a broker that does not respond.
PAGE_TIMEOUT = 1.0
#: The options for the timeouts of a connection, by the kind of broker.
TIMEOUT_OPTIONS: dict[str, tuple[str, ...]] = {
    "redis": ("socket_timeout", "socket_connect_timeout"),
    "amqp": ("connect_timeout", "read_timeout", "write_timeout"),
}


@dataclass(frozen=True, kw_only=True)
class Message:
    """One task to publish."""

    task_id: str
    task: str
    args: Sequence[Any] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    queue: str
    time_limit: float | None = None
    soft_time_limit: float | None = None


def build_message(
    *,
    task_id: str,
    task: str,
    args: Sequence[Any] = (),
    kwargs: dict[str, Any] | None = None,
    queue: str = "",
) -> Message:
    """Build a message for `queue`, or for the queue of the task or of the project's routes."""
    options = publish_options(task)
    route = {"queue": queue or options.get("queue")}
    route = {key: value for key, value in route.items() if value}
    where = current_app.amqp.router.route(route, task, tuple(args), kwargs or {}).get("queue")
    return Message(
        task_id=task_id,
        task=task,
        args=args,
        kwargs=kwargs or {},
        queue=getattr(where, "name", where) or current_app.conf.task_default_queue,
        time_limit=options.get("time_limit"),
        soft_time_limit=options.get("soft_time_limit"),
    )


def publish(messages: Sequence[Message]) -> None:
    """Publish the messages in one batch, on a connection of its own.

    Raises `BrokerUnreachable` if the broker did not confirm all of them. Any of them may have been
    queued all the same: the caller must be able to publish them again.
    """
    make: Any = current_app.amqp.Producer
    queues = {name: current_app.amqp.queues[name] for name in {m.queue for m in messages}}
    with connect() as connection, make(connection, auto_declare=False) as producer:
        for queue in queues.values():
            queue(producer.channel).declare()
        with producer.batch(max_size=BATCH_SIZE):
            for message in messages:
                _publish(producer, message, queues[message.queue])


@contextmanager
def connect(timeout: float | None = None) -> Iterator[Connection]:
    """A connection outside of the pool, established without retries.

    The broker must respond within `timeout` seconds; None: as long as the project's settings
    allow. A page uses a short timeout, the dispatcher uses the project's.

    Raises `BrokerUnreachable`, also for errors while the connection is used; `QueueFull` is one.
    """
    connection: Connection = current_app.connection_for_write()
    if timeout is not None:
        connection.connect_timeout = timeout
        options = TIMEOUT_OPTIONS.get(connection.transport.driver_type, ())
        timeouts = dict.fromkeys(options, timeout)
        connection.transport_options = {**(connection.transport_options or {}), **timeouts}
    # Every transport has errors of its own.
    errors: tuple[type[BaseException], ...]
    errors = KombuError, OSError, *connection.connection_errors, *connection.channel_errors
    try:
        with connection, _drop_after(connection, errors):
            # kombu would wait and retry: each address is tried once.
            connection.ensure_connection(max_retries=len(connection.alt), interval_start=0)
            yield connection
    except errors as error:
        logger.warning("The broker does not respond: %s", type(error).__name__)
        raise BrokerUnreachable(_("The broker does not respond.")) from None
    except connection.recoverable_connection_errors:  # RabbitMQ refused a message
        logger.warning("The broker refused a message: its queue is full.")
        raise QueueFull(_("The broker refused a message: its queue is full.")) from None


@contextmanager
def _drop_after(connection: Connection, errors: tuple[type[BaseException], ...]) -> Iterator[None]:
    """After an error drop an AMQP connection without the closing handshake.

    RabbitMQ does not read from blocked connections: the handshake would have to time out.
    """
    try:
        yield
    except errors:
        if connection.transport.driver_type == "amqp":
            connection.collect()
        raise


def count_waiting(queues: Iterable[str]) -> dict[str, int]:
    """The number of waiting messages by queue.

    Raises `BrokerUnreachable`, also if the broker can be read but has no room to write.
    """
    counts = dict.fromkeys(queues, 0)
    with connect() as connection, connection.channel() as channel:
        for name in counts:
            queue: Any = current_app.amqp.queues[name](channel)
            queue.declare()  # on Redis this is a write
            counts[name] = queue.queue_declare().message_count
    return counts


def _publish(producer: Producer, message: Message, queue: Queue) -> None:
    """Publish as `Celery.send_task` does, without its slow parts; signals only if received."""
    exchange, routing_key = queue.exchange.name, queue.routing_key
    if queue.exchange.type == "direct":  # as Celery does: the default exchange needs no binding
        exchange, routing_key = "", queue.name
    made = current_app.amqp.create_task_message(
        message.task_id,
        message.task,
        tuple(message.args),
        message.kwargs,
        time_limit=message.time_limit,
        soft_time_limit=message.soft_time_limit,
    )
    details = {
        "sender": message.task,
        "exchange": exchange,
        "routing_key": routing_key,
        "headers": made.headers,
        "body": made.body,
    }
    if signals.before_task_publish.receivers:
        more = {"declare": [queue], "properties": made.properties, "retry_policy": None}
        signals.before_task_publish.send(**details, **more)
    producer.publish(
        made.body,
        exchange=exchange,
        routing_key=routing_key,
        serializer="json",
        headers=made.headers,
        retry=False,
        delivery_mode=2,
        **made.properties,
    )
    if signals.after_task_publish.receivers:
        signals.after_task_publish.send(**details)
