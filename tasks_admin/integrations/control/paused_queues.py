"""Pauses: queues that nobody shall consume, obeyed by a worker from its start on.

Staff's decision is in the database. A worker reads it before it consumes anything and with each
sign of life, and is told when it changes. Decisions are numbered: one that comes late, because the
worker was silent, does not undo a newer one.
"""

from typing import Any

#: The queues that are paused, as far as this worker knows.
paused: set[str] = set()
#: Those of them that it would consume: it goes on with them when they are resumed.
paused_queues: set[str] = set()
_newest = 0


def begin(app: Any, names: list[str] | None, decision: int = 0) -> None:
    """Before the worker consumes anything: leave out what is paused. None is not known: all."""
    global _newest
    _newest = decision
    queues = app.amqp.queues
    wanted = set(queues.consume_from)
    paused.update(wanted if names is None else names)
    paused_queues.update(wanted & paused)
    queues.deselect(sorted(paused_queues))


def obey(consumer: Any, names: list[str], decision: int) -> None:
    """Consume nothing of these queues, and again what was withheld; in the worker's own loop."""
    global _newest
    if decision < _newest:
        return
    _newest = decision
    paused.clear()
    paused.update(names)
    consumed = set(consumer.app.amqp.queues.consume_from)
    for name in sorted(consumed & paused):
        consumer.cancel_task_queue(name)
        paused_queues.add(name)
    for name in sorted(paused_queues - paused):
        consumer.add_task_queue(name)
        paused_queues.discard(name)


def obey_soon(consumer: Any, names: list[str], decision: int) -> None:
    """The same from another thread, if anything differs: the loop does it at its next turn."""
    consumed = set(consumer.app.amqp.queues.consume_from)
    if set(names) != paused or consumed & paused or paused_queues - paused:
        consumer.call_soon(obey, consumer, names, decision)
