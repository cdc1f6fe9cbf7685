"""Paused queues, in a worker: it does not consume them, from its start on.

The decision of staff is in the database. A worker reads it before it consumes anything and with
each heartbeat, and gets a command when it changes. Decisions are numbered: a command that arrives
late, because the worker was stopped, does not override a newer decision.
"""

from typing import Any

#: The paused queues, as far as this worker knows.
paused: set[str] = set()
#: Those of them that it is configured to consume: it resumes them when they are resumed.
withdrawn: set[str] = set()
_applied_revision = 0


def apply_at_start(app: Any, names: list[str] | None, revision: int = 0) -> None:
    """Deselect the paused queues before the worker consumes any. None: not known, so all."""
    global _applied_revision
    _applied_revision = revision
    queues = app.amqp.queues
    configured = set(queues.consume_from)
    paused.update(configured if names is None else names)
    withdrawn.update(configured & paused)
    queues.deselect(sorted(withdrawn))


def apply(consumer: Any, names: list[str], revision: int) -> None:
    """Stop consuming these queues, and resume the others. Runs in the worker's event loop."""
    global _applied_revision
    if revision < _applied_revision:
        return
    _applied_revision = revision
    paused.clear()
    paused.update(names)
    consumed = set(consumer.app.amqp.queues.consume_from)
    for name in sorted(consumed & paused):
        consumer.cancel_task_queue(name)
        withdrawn.add(name)
    for name in sorted(withdrawn - paused):
        consumer.add_task_queue(name)
        withdrawn.discard(name)


def apply_soon(consumer: Any, names: list[str], revision: int) -> None:
    """Schedule `apply` in the worker's event loop, if it would change anything. Thread-safe."""
    consumed = set(consumer.app.amqp.queues.consume_from)
    if set(names) != paused or consumed & paused or withdrawn - paused:
        consumer.call_soon(apply, consumer, names, revision)
