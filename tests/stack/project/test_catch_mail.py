"""`manage.py catch_mail`, run as in the Procfile."""

import contextlib
import os
import signal
import smtplib
import socket
import subprocess
import sys

import pytest

from opsconsole.environment import BASE_DIR
from opsconsole.mailcatcher import store
from tests.support.ports import free_port
from tests.support.stack import WAIT_TIMEOUT


@contextlib.contextmanager
def mail_catcher(port, directory, **environment):
    """Run the command on that port; kill it at the end."""
    kept = {name: os.environ[name] for name in ("PATH", "SECRET_KEY")}
    environment |= {"PORT": str(port - 2), "DATA_DIR": str(directory)}
    with subprocess.Popen(
        [sys.executable, "manage.py", "catch_mail"],
        cwd=BASE_DIR,
        env=kept | environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_command_while_a_client_is_connected(tmp_path, number):
    with mail_catcher(port := free_port(), tmp_path, OPSCONSOLE_DEMO="1") as process:
        assert f"127.0.0.1:{port}" in process.stdout.readline()
        with smtplib.SMTP("127.0.0.1", port, timeout=WAIT_TIMEOUT) as client:
            assert client.sendmail("a@b.example", "ann@mail.example", "Text") == {}
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                client.sendmail("a@b.example", "ann@refused.example", "Text")
            process.send_signal(number)
            assert process.wait(WAIT_TIMEOUT) == 0
        assert process.stderr.read() == ""
    assert len(store.names(tmp_path / "mail")) == 1


def test_a_port_in_use_is_reported_in_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with mail_catcher(port, tmp_path) as process:
            assert process.wait(WAIT_TIMEOUT) == 1
            (line,) = process.stderr.read().splitlines()
    assert f"127.0.0.1:{port}: " in line and "in use" in line


def test_the_command_is_idle_if_a_mail_server_is_configured(tmp_path):
    environment = {"EMAIL_URL": "smtp://mail.example.com"}
    with mail_catcher(port := free_port(), tmp_path, **environment) as process:
        assert "EMAIL_URL is set" in process.stdout.readline()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        process.terminate()
        assert process.wait(WAIT_TIMEOUT) == 0
    assert not (tmp_path / "mail").exists()
