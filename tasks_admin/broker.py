"""The one door for publishing: batches of messages, with timeouts, and without kombu's retries."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from celery import current_app, signals
from kombu import Connection, Producer, Queue
from kombu.exceptions import KombuError

from tasks_admin.errors import BrokerUnreachable

logger = logging.getLogger(__name__)

#: Messages a flush.
BATCH = 500


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
    known: Any = current_app.tasks.get(task)
    options = known._get_exec_options() if known is not None else {}
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
    connection: Connection = current_app.connection_for_write()
    make: Any = current_app.amqp.Producer
    try:
        with (
            connection,
            make(connection, auto_declare=False) as producer,
            producer.batch(max_size=BATCH),
        ):
            for message in messages:
                _publish(producer, message)
    except troubles(connection) as error:
        kind = type(error).__name__
        logger.warning("The broker did not confirm %d messages: %s", len(messages), kind)
        raise BrokerUnreachable(kind) from None


def troubles(connection: Connection) -> tuple[type[BaseException], ...]:
    """What a connection raises when the broker is ill: every transport has errors of its own."""
    return KombuError, OSError, *connection.connection_errors, *connection.channel_errors


def _publish(producer: Producer, message: Message) -> None:
    """What `Celery.send_task` does, without what makes it slow; signals only for who listens."""
    app = current_app
    queue: Queue = app.amqp.queues[message.queue]
    made = app.amqp.create_task_message(
        message.task_id,
        message.task,
        tuple(message.args),
        message.kwargs,
        time_limit=message.time_limit,
        soft_time_limit=message.soft_time_limit,
    )
    about = {
        "sender": message.task,
        "exchange": queue.exchange.name,
        "routing_key": queue.routing_key,
        "headers": made.headers,
        "body": made.body,
    }
    if signals.before_task_publish.receivers:
        more = {"declare": [queue], "properties": made.properties, "retry_policy": None}
        signals.before_task_publish.send(**about, **more)
    producer.publish(
        made.body,
        exchange=queue.exchange.name,
        routing_key=queue.routing_key,
        serializer=app.conf.task_serializer,
        headers=made.headers,
        declare=[queue],
        retry=False,
        delivery_mode=2,
        **made.properties,
    )
    if signals.after_task_publish.receivers:
        signals.after_task_publish.send(**about)


def is_registered(task: str) -> bool:
    """Whether this project knows a task of this name."""
    return task in current_app.tasks


def registered() -> list[str]:
    """The names of the project's own tasks, sorted."""
    return sorted(name for name in current_app.tasks if not name.startswith("celery."))


def may_run_again(task: str) -> bool:
    """Whether the task's owner says that it may be run again when its process died.

    That is what `acks_late` says: Celery delivers such a task again after a crash.
    """
    known = current_app.tasks.get(task)
    return bool(known is not None and known.acks_late)
