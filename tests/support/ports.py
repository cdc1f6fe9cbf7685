"""Free ports for the servers that tests start."""

import os
import random
import socket
from collections.abc import Iterator

#: Below what Linux gives to outgoing connections, above what servers like to have.
LOWEST, HIGHEST = 12_000, 32_000
#: Tests that run side by side choose from shares of their own.
SHARES = 8


def _share() -> range:
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % SHARES
    size = (HIGHEST - LOWEST) // SHARES
    return range(LOWEST + number * size, LOWEST + (number + 1) * size - 2)


def _candidates() -> Iterator[int]:
    """Ports in turn, from anywhere on: one that was given is not given again soon."""
    share = _share()
    start = random.SystemRandom().randrange(len(share))
    while True:
        for step in range(0, len(share), 3):
            yield share[(start + step) % len(share)]


_next = _candidates()


def free_ports() -> int:
    """The first of three neighbouring ports that are free."""
    for first in _next:
        if all(map(_is_free, (first, first + 1, first + 2))):
            return first
    raise AssertionError("never reached: the candidates do not end")


def free_port() -> int:
    """A port without a listener."""
    return free_ports()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
