"""Whether the embedded broker is taken for dead."""

import socket
import threading
from collections.abc import Iterator

import pytest

from opsconsole.valkey import answers
from tests.support.ports import free_port


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def say(server: socket.socket, words: bytes) -> None:
    link, _ = server.accept()
    with link:
        link.recv(100)
        link.sendall(words)


@pytest.mark.parametrize("words", [b"+PONG\r\n", b"-MISCONF Errors writing to the AOF file\r\n"])
def test_who_says_anything_is_alive(server: socket.socket, words: bytes) -> None:
    threading.Thread(target=say, args=(server, words), daemon=True).start()

    assert answers(server.getsockname()[1])


def test_who_says_nothing_is_not(server: socket.socket) -> None:
    assert not answers(server.getsockname()[1])


def test_who_is_not_there_is_not() -> None:
    assert not answers(free_port())
