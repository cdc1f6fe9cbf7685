"""Queues on Redis and compatible servers: one list per priority, consumed from the right."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis
from kombu import Connection

from tasks_admin.integrations.broker.payloads import Payload

#: Restored messages come before those that wait.
RESTORES_FIRST = True
#: Seconds for which the key of a `put` is remembered: longer than the dispatcher retries it.
PUT_KEY_TTL = 7 * 86_400


class Lists:
    """The lists of a queue, as kombu names them; the first one is consumed first."""

    def __init__(self, connection: Connection) -> None:
        channel: Any = connection.default_channel
        # kombu's client adds the prefix to the keys of some commands only: here all keys have it.
        self.client: Any = redis.Redis(connection_pool=channel.client.connection_pool)
        self.prefix = channel.global_keyprefix or ""
        self.channel, self.steps = channel, list(channel.priority_steps)

    def of(self, name: str) -> list[str]:
        """The keys of a queue's lists."""
        return [self.prefix + self.channel._q_for_pri(name, step) for step in self.steps]

    def staged(self, key: str) -> list[str]:
        """The keys to which `stage` renames a queue's lists."""
        return [f"{self.prefix}console.staged.{key}.{step}" for step in self.steps]

    def priority(self, index: int) -> int:
        """The priority of the list at an index."""
        return int(self.steps[index])


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
        *replies, unacknowledged = pipe.execute()
    queues = {}
    for name in names:
        counts, heads = [], []
        for index in range(len(lists.steps)):
            count, head = replies.pop(0), replies.pop(0)
            counts.append(count)
            if head is not None:
                heads.append(Payload(raw=head, priority=lists.priority(index)))
        queues[name] = {"waiting": sum(counts), "next": heads[0] if heads else None}
    return queues, int(unacknowledged)


def peek(connection: Connection, name: str, count: int) -> list[Payload]:
    """See `contents.peek`: read only."""
    lists = Lists(connection)
    tails = _tails(lists, lists.of(name), count)
    return [payload for _key, payloads in tails for payload in payloads]


def stage(connection: Connection, name: str, key: str) -> None:
    """See `contents.stage`: renames all lists, in one transaction."""
    lists = Lists(connection)
    with lists.client.pipeline(transaction=True) as pipe:
        for source, staged in zip(lists.of(name), lists.staged(key), strict=True):
            pipe.renamenx(source, staged)
        pipe.execute(raise_on_error=False)  # an empty queue has no list


@contextmanager
def take(connection: Connection, name: str, key: str, count: int) -> Iterator[list[Payload]]:
    """See `contents.take`: removes only messages that are still where they were read."""
    lists = Lists(connection)
    tails = _tails(lists, lists.staged(key), count)
    yield [payload for _key, payloads in tails for payload in payloads]
    for staged, payloads in tails:
        _remove(lists.client, staged, [payload.raw for payload in reversed(payloads)])


def put(connection: Connection, name: str, payloads: Sequence[Payload], key: str) -> None:
    """See `contents.put`."""
    lists = Lists(connection)
    done_key = f"{lists.prefix}console.put.{key}"
    keys = dict(zip(lists.steps, lists.of(name), strict=True))

    def push(pipe: Any) -> None:
        done = pipe.exists(done_key)
        pipe.multi()
        if done:
            return
        for payload in reversed(payloads):  # the last one pushed is consumed first
            pipe.rpush(keys.get(payload.priority, keys[lists.steps[0]]), payload.raw)
        pipe.set(done_key, 1, ex=PUT_KEY_TTL)

    lists.client.transaction(push, done_key)


def _tails(lists: Lists, keys: list[str], count: int) -> list[tuple[str, list[Payload]]]:
    """The next messages of these lists, `count` in all, in the order of their delivery."""
    tails: list[tuple[str, list[Payload]]] = []
    for index, key in enumerate(keys):
        if count <= 0:
            break
        raw = reversed(lists.client.lrange(key, -count, -1))
        payloads = [Payload(raw=one, priority=lists.priority(index)) for one in raw]
        count -= len(payloads)
        tails += [(key, payloads)] if payloads else []
    return tails


def _remove(client: Any, key: str, tail: list[bytes]) -> None:
    """Remove the tail of a list, unless another process has removed it."""

    def trim(pipe: Any) -> None:
        current = pipe.lrange(key, -len(tail), -1)
        pipe.multi()
        if current == tail:
            pipe.ltrim(key, 0, -len(tail) - 1)

    client.transaction(trim, key)
