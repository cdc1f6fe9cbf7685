"""The SMTP transport: permanent and temporary errors, and one connection for many emails."""

import contextlib
import signal
import socket
import ssl
import threading
import time

import pytest
from django.core.mail import EmailMessage

from tasks_admin.accounts import tokens
from tasks_admin.integrations.mail import smtp
from tasks_admin.lib.errors import DeliveryDeferred, DeliveryRejected
from tests.conftest import use_mail_server
from tests.support.ports import free_port

#: Seconds: a timeout that is longer than any test takes.
HANGING = 300


def email(to="ann@mail.example", **fields):
    return EmailMessage("Subject", "Body", to=[to], **fields)


@pytest.fixture
def scripted(settings):
    """A mail server that sends these replies, one per line that it reads, and then none."""
    stack = contextlib.ExitStack()

    def start(*replies, **options):
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = listener.getsockname()[1]
        use_mail_server(settings, **{"port": port, "timeout": 30} | options)

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    peer, _address = listener.accept()
                    stack.callback(peer.close)
                    with peer.makefile("rw", newline="\r\n") as lines:
                        for reply in replies:
                            lines.write(f"{reply}\r\n")
                            lines.flush()
                            lines.readline()
                        peer.recv(1)

        threading.Thread(target=serve, daemon=True).start()

    yield start
    smtp.close()
    stack.close()


class TestRejected:
    """`DeliveryRejected`: a retry would fail again."""

    @pytest.mark.parametrize("code", [550, 551, 552, 553, 554])
    def test_recipient_is_rejected(self, mailbox, code):
        with pytest.raises(DeliveryRejected, match=f"^{code} 5.1.1 <hidden> is not wanted$"):
            smtp.send(email(f"{code}-bob@mail.example"))

    def test_message_is_rejected(self, mailbox):
        with pytest.raises(DeliveryRejected, match=r"^554 <hidden> not now$"):
            smtp.send(email("data-554-bob@mail.example"))

    @pytest.mark.parametrize(
        "address", ["@", "bob@", "a@b\nBcc: eve@x.example", "bob@\r\n", "a@b@c.example", "ä b@c@d"]
    )
    def test_invalid_address_is_not_sent(self, mailbox, address):
        with pytest.raises(DeliveryRejected):
            smtp.send(email(address))

        assert not mailbox.tries
        assert not mailbox.messages

    def test_header_with_a_line_break_is_not_sent(self, mailbox):
        message = email(headers={"X-Name": "a\nBcc: eve@x.example"})

        with pytest.raises(DeliveryRejected, match=r"BadHeaderError|ValueError"):
            smtp.send(message)

        assert not mailbox.messages


class TestDeferred:
    """`DeliveryDeferred`: a retry may succeed."""

    @pytest.mark.parametrize("code", [421, 450, 451, 452])
    def test_recipient_is_deferred(self, mailbox, code):
        with pytest.raises(DeliveryDeferred, match=f"^{code} "):
            smtp.send(email(f"{code}-bob@mail.example"))

    def test_message_is_deferred(self, mailbox):
        with pytest.raises(DeliveryDeferred, match=r"^451 "):
            smtp.send(email("data-451-bob@mail.example"))

    def test_connection_is_lost_after_the_message(self, mailbox):
        with pytest.raises(DeliveryDeferred, match="SMTPServerDisconnected"):
            smtp.send(email("drop-bob@mail.example"))

    def test_connection_is_refused(self, settings):
        use_mail_server(settings, port=free_port())

        with pytest.raises(DeliveryDeferred, match="ConnectionRefusedError"):
            smtp.send(email())

    def test_host_name_is_unknown(self, settings):
        use_mail_server(settings, host="mail.invalid", port=25)

        with pytest.raises(DeliveryDeferred, match="gaierror"):
            smtp.send(email())

    @pytest.mark.parametrize(
        "replies",
        [(), ("220 hello",), ("220 hello", "250 ok", "250 ok", "250 ok"), ("nonsense",), ("\x00",)],
        ids=["at once", "after greeting", "at the message", "nonsense", "NUL"],
    )
    def test_server_does_not_reply_or_is_no_smtp_server(self, scripted, replies):
        scripted(*replies, timeout=0.4)

        with pytest.raises(DeliveryDeferred):
            smtp.send(email())

    def test_server_refuses_the_connection(self, scripted):
        scripted("554 no service for you")

        with pytest.raises(DeliveryDeferred, match="554 no service for you"):
            smtp.send(email())

    @pytest.mark.parametrize("reply", ["530 5.7.0 Authentication required", "550 unknown sender"])
    def test_sender_is_rejected(self, scripted, reply):
        scripted("220 hello", "250 ok", reply, "250 ok")

        with pytest.raises(DeliveryDeferred, match=reply[:3]):
            smtp.send(email())

    def test_password_is_rejected(self, scripted):
        replies = "220 hello", "250-hello\r\n250 AUTH PLAIN", "535 5.7.8 wrong"
        scripted(*replies, username="ops", password="hunter2")

        with pytest.raises(DeliveryDeferred, match=r"^535 "):
            smtp.send(email())

    def test_server_without_encryption(self, scripted):
        scripted("220 hello", "250 hello", use_tls=True)

        with pytest.raises(DeliveryDeferred, match="SMTPNotSupportedError"):
            smtp.send(email())

    def test_certificate_that_can_not_be_verified(self):
        """The error is a `ValueError` as well, like that of an invalid address."""
        error = ssl.SSLCertVerificationError("certificate has expired")

        assert isinstance(smtp._classify(error, 0, "", uncertain=True), DeliveryDeferred)

    def test_time_limit_of_the_task_stops_it_at_once(self, scripted):
        """The SMTP command QUIT would wait for the server again."""
        scripted("220 hello", "250 ok", timeout=HANGING)

        class SoftTimeLimitExceeded(Exception):
            pass

        def stop(*_):
            raise SoftTimeLimitExceeded

        before = signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        started = time.monotonic()
        try:
            with pytest.raises(DeliveryDeferred, match="SoftTimeLimitExceeded"):
                smtp.send(email())
        finally:
            signal.signal(signal.SIGALRM, before)

        assert time.monotonic() - started < HANGING


class TestReplyText:
    """The server's reply is stored without addresses and links."""

    @pytest.mark.parametrize(
        ("reply", "stored"),
        [
            ("no mailbox named Ann here", "no mailbox named <hidden> here"),
            ("<ann@mail.example>: user unknown", "<hidden>: user unknown"),
            ("see https://help.example/?p=NoSuchUser", "see https://help.example/?p=NoSuchUser"),
            ("x" * 50 + " y" * 200, ("x" * 50 + " y" * 200)[:300]),
        ],
    )
    def test_names_are_hidden(self, scripted, reply, stored):
        scripted("220 hello", "250 ok", "250 ok", f"550 {reply}", "250 ok")

        with pytest.raises(DeliveryRejected) as caught:
            smtp.send(email())

        assert str(caught.value) == f"550 {stored}"

    def test_link_that_a_filter_quotes_is_hidden(self, scripted, make_user):
        token = tokens.sign(make_user(), 1)
        reply = f"554 blocked https://console.example/?token={token} in body"
        scripted("220 hello", "250 ok", "250 ok", "250 ok", "354 go", reply, "250 ok")

        with pytest.raises(DeliveryRejected) as caught:
            smtp.send(email())

        assert "554 blocked" in str(caught.value)
        assert not any(part in str(caught.value) for part in token.split("."))

    def test_bytes_that_are_not_text(self, scripted):
        scripted("220 hello", "250 ok", "250 ok", "550 \xff\xfe\x1b[31m\x00", "250 ok")

        with pytest.raises(DeliveryRejected, match=r"^550 "):
            smtp.send(email())


class TestConnection:
    """One connection sends many emails, and is replaced when it is dead."""

    def test_kept(self, mailbox):
        for number in range(5):
            smtp.send(email(f"user-{number}@mail.example"))

        assert len(mailbox.messages) == 5
        assert mailbox.connections == 1

    def test_kept_after_a_rejected_recipient(self, mailbox):
        for address in ("550-bob", "450-bob", "ann"):
            with contextlib.suppress(DeliveryRejected, DeliveryDeferred):
                smtp.send(email(f"{address}@mail.example"))

        assert len(mailbox.messages) == 1
        assert mailbox.connections == 1

    @pytest.mark.parametrize("address", ["421-bob", "drop-bob", "data-451-bob"])
    def test_replaced_after(self, mailbox, address):
        with pytest.raises(DeliveryDeferred):
            smtp.send(email(f"{address}@mail.example"))

        smtp.send(email())

        assert mailbox.messages[-1]["To"] == "ann@mail.example"
        assert mailbox.connections == 2

    def test_dead_idle_connection_is_replaced(self, mailbox, monkeypatch):
        smtp.send(email())
        smtp._local.connection.connection.sock.shutdown(socket.SHUT_RDWR)
        monkeypatch.setattr(smtp, "MAX_IDLE", -1)

        smtp.send(email())

        assert len(mailbox.messages) == 2
        assert mailbox.connections == 2

    def test_working_idle_connection_is_kept(self, mailbox, monkeypatch):
        monkeypatch.setattr(smtp, "MAX_IDLE", -1)

        smtp.send(email())
        smtp.send(email())

        assert mailbox.connections == 1

    def test_each_thread_has_its_own(self, mailbox):
        def work():
            smtp.send(email())
            smtp.close()

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(mailbox.messages) == mailbox.connections == 3
