"""The health check of the embedded broker."""

import socket
import threading
from collections.abc import Iterator

import pytest

from opsconsole import valkey
from tests.support.ports import free_port
from tests.support.stack import WAIT_TIMEOUT


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def reply_once(server: socket.socket, reply: bytes) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(100)
        connection.sendall(reply)


@pytest.mark.parametrize("reply", [b"+PONG\r\n", b"-MISCONF Errors writing to the AOF file\r\n"])
def test_a_server_that_replies_is_responding(
    server: socket.socket, reply: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(valkey, "PING_TIMEOUT", WAIT_TIMEOUT)
    threading.Thread(target=reply_once, args=(server, reply), daemon=True).start()

    assert valkey.is_responding(server.getsockname()[1])


def test_a_server_that_does_not_reply_is_not_responding(server: socket.socket) -> None:
    assert not valkey.is_responding(server.getsockname()[1])


def test_a_closed_port_is_not_responding() -> None:
    assert not valkey.is_responding(free_port())
