"""Queues on Redis and what speaks its protocol: a list for each priority, taken from the right."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis
from kombu import Connection

from tasks_admin.integrations.broker.payloads import Payload

#: What was put back comes before all that waits.
AT_THE_HEAD = True
#: Seconds for which it is known that something was put back: longer than anybody tries again.
KNOWN_FOR = 7 * 86_400


class Lists:
    """The lists of a queue, as kombu names them, the one that is taken from first in front."""

    def __init__(self, connection: Connection) -> None:
        channel: Any = connection.default_channel
        # kombu's own client prefixes some commands and not others: here all keys are whole.
        self.client: Any = redis.Redis(connection_pool=channel.client.connection_pool)
        self.prefix = channel.global_keyprefix or ""
        self.channel, self.steps = channel, list(channel.priority_steps)

    def of(self, name: str) -> list[str]:
        """The keys of a queue's lists."""
        return [self.prefix + self.channel._q_for_pri(name, step) for step in self.steps]

    def staged(self, key: str) -> list[str]:
        """The keys under which a queue's lists are staged."""
        return [f"{self.prefix}console.staged.{key}.{step}" for step in self.steps]

    def priority(self, at: int) -> int:
        """The priority of the list at a place."""
        return int(self.steps[at])


def depths(
    connection: Connection, names: Sequence[str]
) -> tuple[dict[str, dict[str, Any]], int | None]:
    """See `contents.depths`: two round trips for all queues."""
    lists = Lists(connection)
    with lists.client.pipeline(transaction=False) as pipe:
        for name in names:
            for key in lists.of(name):
                pipe.llen(key)
                pipe.lindex(key, -1)
        pipe.hlen(lists.prefix + lists.channel.unacked_key)
        *told, unacknowledged = pipe.execute()
    queues = {}
    for name in names:
        counts, heads = [], []
        for at in range(len(lists.steps)):
            count, head = told.pop(0), told.pop(0)
            counts.append(count)
            heads += [Payload(raw=head, priority=lists.priority(at))] if head is not None else []
        queues[name] = {"waiting": sum(counts), "next": heads[0] if heads else None}
    return queues, int(unacknowledged)


def peek(connection: Connection, name: str, most: int) -> list[Payload]:
    """See `contents.peek`: nothing is changed."""
    lists = Lists(connection)
    return [one for _key, some in _tails(lists, lists.of(name), most) for one in some]


def stage(connection: Connection, name: str, key: str) -> None:
    """See `contents.stage`: all lists get another name, in one step."""
    lists = Lists(connection)
    with lists.client.pipeline(transaction=True) as pipe:
        for source, staged in zip(lists.of(name), lists.staged(key), strict=True):
            pipe.renamenx(source, staged)
        pipe.execute(raise_on_error=False)  # of an empty queue there is no list


@contextmanager
def taking(connection: Connection, name: str, key: str, most: int) -> Iterator[list[Payload]]:
    """See `contents.taking`: removed is only what still lies where it was read."""
    lists = Lists(connection)
    got = _tails(lists, lists.staged(key), most)
    yield [one for _key, some in got for one in some]
    for staged, some in got:
        _remove(lists.client, staged, [one.raw for one in reversed(some)])


def put(connection: Connection, name: str, payloads: Sequence[Payload], key: str) -> None:
    """See `contents.put`."""
    lists = Lists(connection)
    known = f"{lists.prefix}console.put.{key}"
    keys = dict(zip(lists.steps, lists.of(name), strict=True))

    def push(pipe: Any) -> None:
        there = pipe.exists(known)
        pipe.multi()
        if there:
            return
        for payload in reversed(payloads):  # the last that is pushed is taken first
            pipe.rpush(keys.get(payload.priority, keys[lists.steps[0]]), payload.raw)
        pipe.set(known, 1, ex=KNOWN_FOR)

    lists.client.transaction(push, known)


def _tails(lists: Lists, keys: list[str], most: int) -> list[tuple[str, list[Payload]]]:
    """The next messages of these lists, `most` in all, in the order in which they are taken."""
    got: list[tuple[str, list[Payload]]] = []
    for at, key in enumerate(keys):
        if most <= 0:
            break
        tail = reversed(lists.client.lrange(key, -most, -1))
        some = [Payload(raw=raw, priority=lists.priority(at)) for raw in tail]
        most -= len(some)
        got += [(key, some)] if some else []
    return got


def _remove(client: Any, key: str, tail: list[bytes]) -> None:
    """Cut off the end of a list, if it is what was read: who was faster has cut it off."""

    def cut(pipe: Any) -> None:
        there = pipe.lrange(key, -len(tail), -1)
        pipe.multi()
        if there == tail:
            pipe.ltrim(key, 0, -len(tail) - 1)

    client.transaction(cut, key)
