"""Publishing: batches of messages, with timeouts, and without kombu's retries."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from celery import current_app, signals
from django.utils.translation import gettext as _
from kombu import Connection, Producer, Queue
from kombu.exceptions import KombuError

from tasks_admin.integrations.broker.registry import options_of
from tasks_admin.lib.errors import BrokerUnreachable, QueueFull

logger = logging.getLogger(__name__)

#: Messages a flush.
BATCH = 500
#: Seconds for which a page waits for a broker that says nothing.
PATIENCE = 1.0
#: What each kind of broker calls the time for which a connection waits for it.
TIMEOUTS: dict[str, tuple[str, ...]] = {
    "redis": ("socket_timeout", "socket_connect_timeout"),
    "amqp": ("connect_timeout", "read_timeout", "write_timeout"),
}


@dataclass(frozen=True, kw_only=True)
class Message:
    """One task to queue."""

    task_id: str
    task: str
    args: Sequence[Any] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    queue: str
    time_limit: float | None = None
    soft_time_limit: float | None = None


def routed(
    *,
    task_id: str,
    task: str,
    args: Sequence[Any] = (),
    kwargs: dict[str, Any] | None = None,
    queue: str = "",
) -> Message:
    """Make a message for `queue`, or for the queue that the task or the project's routes name."""
    options = options_of(task)
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
    """Queue the messages, all in one batch on a connection of our own.

    Raises `BrokerUnreachable` when the broker did not confirm all of them. Any number of them
    may be queued all the same: the caller must be able to publish again.
    """
    make: Any = current_app.amqp.Producer
    queues = {name: current_app.amqp.queues[name] for name in {m.queue for m in messages}}
    with connected() as connection, make(connection, auto_declare=False) as producer:
        for queue in queues.values():
            queue(producer.channel).declare()
        with producer.batch(max_size=BATCH):
            for message in messages:
                _publish(producer, message, queues[message.queue])


@contextmanager
def connected(patience: float | None = None) -> Iterator[Connection]:
    """A connection outside the pool, made at once or not at all.

    A broker that says nothing for `patience` seconds is given up; None: for as long as the
    project's settings say. Who looks at a page waits for a second, who moves messages for longer.

    Raises `BrokerUnreachable`, also for what goes wrong while it is used; `QueueFull` is one.
    """
    connection: Connection = current_app.connection_for_write()
    if patience is not None:
        connection.connect_timeout = patience
        timeouts = dict.fromkeys(TIMEOUTS.get(connection.transport.driver_type, ()), patience)
        connection.transport_options = {**(connection.transport_options or {}), **timeouts}
    # Every transport has errors of its own.
    troubles: tuple[type[BaseException], ...]
    troubles = KombuError, OSError, *connection.connection_errors, *connection.channel_errors
    try:
        with connection, _hung_up(connection, troubles):
            # kombu would wait and try again: each address is tried once
            connection.ensure_connection(max_retries=len(connection.alt), interval_start=0)
            yield connection
    except troubles as error:
        logger.warning("The broker does not answer: %s", type(error).__name__)
        raise BrokerUnreachable(_("The broker does not answer.")) from None
    except connection.recoverable_connection_errors:  # RabbitMQ refused a message, and is well
        logger.warning("The broker refused a message: its queue takes no more.")
        raise QueueFull(_("The broker does not answer.")) from None


@contextmanager
def _hung_up(connection: Connection, troubles: tuple[type[BaseException], ...]) -> Iterator[None]:
    """After trouble say no goodbye: RabbitMQ would be waited for, and reads nothing in an alarm."""
    try:
        yield
    except troubles:
        if connection.transport.driver_type == "amqp":
            connection.collect()
        raise


def waiting(queues: Iterable[str]) -> dict[str, int]:
    """How many messages wait in each of these queues.

    Raises `BrokerUnreachable`, also when the broker can be read but has no room to write.
    """
    counts = dict.fromkeys(queues, 0)
    with connected() as connection, connection.channel() as channel:
        for name in counts:
            queue: Any = current_app.amqp.queues[name](channel)
            queue.declare()  # to Redis that is a write
            counts[name] = queue.queue_declare().message_count
    return counts


def _publish(producer: Producer, message: Message, queue: Queue) -> None:
    """What `Celery.send_task` does, without what makes it slow; signals only for who listens."""
    exchange, routing_key = queue.exchange.name, queue.routing_key
    if queue.exchange.type == "direct":  # as Celery does: straight to the queue, no table is read
        exchange, routing_key = "", queue.name
    made = current_app.amqp.create_task_message(
        message.task_id,
        message.task,
        tuple(message.args),
        message.kwargs,
        time_limit=message.time_limit,
        soft_time_limit=message.soft_time_limit,
    )
    about = {
        "sender": message.task,
        "exchange": exchange,
        "routing_key": routing_key,
        "headers": made.headers,
        "body": made.body,
    }
    if signals.before_task_publish.receivers:
        more = {"declare": [queue], "properties": made.properties, "retry_policy": None}
        signals.before_task_publish.send(**about, **more)
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
        signals.after_task_publish.send(**about)
