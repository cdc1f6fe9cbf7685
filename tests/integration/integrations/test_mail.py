"""The door to the mail server: what is for good, what may pass, and one connection for many."""

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


def letter(to="ann@mail.example", **fields):
    return EmailMessage("Subject", "Body", to=[to], **fields)


@pytest.fixture
def scripted(settings):
    """A mail server that gives these replies, one a line it reads; then it is silent."""
    stack = contextlib.ExitStack()

    def start(*replies, **options):
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = listener.getsockname()[1]
        use_mail_server(settings, **{"port": port, "timeout": 0.4} | options)

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


class TestForGood:
    """`DeliveryRejected`: trying again would not help."""

    @pytest.mark.parametrize("code", [550, 551, 552, 553, 554])
    def test_the_recipient_is_refused(self, mailbox, code):
        with pytest.raises(DeliveryRejected, match=f"^{code} 5.1.1 <hidden> is not wanted$"):
            smtp.send(letter(f"{code}-bob@mail.example"))

    def test_the_message_is_refused(self, mailbox):
        with pytest.raises(DeliveryRejected, match=r"^554 <hidden> not now$"):
            smtp.send(letter("data-554-bob@mail.example"))

    @pytest.mark.parametrize(
        "address", ["@", "bob@", "a@b\nBcc: eve@x.example", "bob@\r\n", "a@b@c.example", "ä b@c@d"]
    )
    def test_what_is_no_address_reaches_no_server(self, mailbox, address):
        with pytest.raises(DeliveryRejected):
            smtp.send(letter(address))

        assert not mailbox.tries
        assert not mailbox.messages

    def test_a_header_of_two_lines_reaches_no_server(self, mailbox):
        message = letter(headers={"X-Name": "a\nBcc: eve@x.example"})

        with pytest.raises(DeliveryRejected, match=r"BadHeaderError|ValueError"):
            smtp.send(message)

        assert not mailbox.messages


class TestForNow:
    """`DeliveryDeferred`: it may be taken later."""

    @pytest.mark.parametrize("code", [421, 450, 451, 452])
    def test_the_recipient_is_not_wanted_now(self, mailbox, code):
        with pytest.raises(DeliveryDeferred, match=f"^{code} "):
            smtp.send(letter(f"{code}-bob@mail.example"))

    def test_the_message_is_not_wanted_now(self, mailbox):
        with pytest.raises(DeliveryDeferred, match=r"^451 "):
            smtp.send(letter("data-451-bob@mail.example"))

    def test_the_connection_is_cut_after_the_message_was_sent(self, mailbox):
        with pytest.raises(DeliveryDeferred, match="SMTPServerDisconnected"):
            smtp.send(letter("drop-bob@mail.example"))

    def test_nobody_listens(self, settings):
        use_mail_server(settings, port=free_port())

        with pytest.raises(DeliveryDeferred, match="ConnectionRefusedError"):
            smtp.send(letter())

    def test_the_name_of_the_server_is_unknown(self, settings):
        use_mail_server(settings, host="mail.invalid", port=25)

        with pytest.raises(DeliveryDeferred, match="gaierror"):
            smtp.send(letter())

    @pytest.mark.parametrize(
        "replies",
        [(), ("220 hello",), ("220 hello", "250 ok", "250 ok", "250 ok"), ("nonsense",), ("\x00",)],
        ids=["at once", "after greeting", "at the message", "nonsense", "NUL"],
    )
    def test_the_server_hangs_or_talks_nonsense(self, scripted, replies):
        scripted(*replies)

        with pytest.raises(DeliveryDeferred):
            smtp.send(letter())

    def test_the_server_does_not_want_us(self, scripted):
        scripted("554 no service for you")

        with pytest.raises(DeliveryDeferred, match="554 no service for you"):
            smtp.send(letter())

    @pytest.mark.parametrize("reply", ["530 5.7.0 Authentication required", "550 unknown sender"])
    def test_the_sender_is_refused_which_is_not_the_addressees_fault(self, scripted, reply):
        scripted("220 hello", "250 ok", reply)

        with pytest.raises(DeliveryDeferred, match=reply[:3]):
            smtp.send(letter())

    def test_our_password_is_refused(self, scripted):
        replies = "220 hello", "250-hello\r\n250 AUTH PLAIN", "535 5.7.8 wrong"
        scripted(*replies, username="ops", password="hunter2")

        with pytest.raises(DeliveryDeferred, match=r"^535 "):
            smtp.send(letter())

    def test_the_server_offers_no_encryption(self, scripted):
        scripted("220 hello", "250 hello", use_tls=True)

        with pytest.raises(DeliveryDeferred, match="SMTPNotSupportedError"):
            smtp.send(letter())

    def test_a_certificate_that_can_not_be_verified(self):
        """It is a `ValueError` as well, like an impossible address."""
        error = ssl.SSLCertVerificationError("certificate has expired")

        assert isinstance(smtp._classify(error, 0, "", uncertain=True), DeliveryDeferred)

    def test_the_time_limit_of_the_task_stops_it_at_once(self, scripted):
        """The farewell to a server that hangs must not hang in its turn."""
        scripted("220 hello", "250 ok", timeout=30)

        class SoftTimeLimitExceeded(Exception):
            pass

        def stop(*_):
            raise SoftTimeLimitExceeded

        before = signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        began = time.monotonic()
        try:
            with pytest.raises(DeliveryDeferred, match="SoftTimeLimitExceeded"):
                smtp.send(letter())
        finally:
            signal.signal(signal.SIGALRM, before)

        assert time.monotonic() - began < 5


class TestWords:
    """What a server says is kept, without what nobody should read."""

    @pytest.mark.parametrize(
        ("said", "kept"),
        [
            ("no mailbox named Ann here", "no mailbox named <hidden> here"),
            ("<ann@mail.example>: user unknown", "<hidden>: user unknown"),
            ("see https://help.example/?p=NoSuchUser", "see https://help.example/?p=NoSuchUser"),
            ("x" * 50 + " y" * 200, ("x" * 50 + " y" * 200)[:300]),
        ],
    )
    def test_names_are_hidden(self, scripted, said, kept):
        scripted("220 hello", "250 ok", "250 ok", f"550 {said}", "250 ok")

        with pytest.raises(DeliveryRejected) as caught:
            smtp.send(letter())

        assert str(caught.value) == f"550 {kept}"

    def test_a_link_that_a_filter_quotes_is_hidden(self, scripted, make_user):
        token = tokens.sign(make_user(), 1)
        said = f"554 blocked https://console.example/?token={token} in body"
        scripted("220 hello", "250 ok", "250 ok", "250 ok", "354 go", said)

        with pytest.raises(DeliveryRejected) as caught:
            smtp.send(letter())

        assert "554 blocked" in str(caught.value)
        assert not any(part in str(caught.value) for part in token.split("."))

    def test_bytes_that_are_no_text_do_no_harm(self, scripted):
        scripted("220 hello", "250 ok", "250 ok", "550 \xff\xfe\x1b[31m\x00", "250 ok")

        with pytest.raises(DeliveryRejected, match=r"^550 "):
            smtp.send(letter())


class TestConnection:
    """One connection carries many mails, and is replaced when it died."""

    def test_it_is_kept(self, mailbox):
        for number in range(5):
            smtp.send(letter(f"user-{number}@mail.example"))

        assert len(mailbox.messages) == 5
        assert mailbox.connections == 1

    def test_it_is_kept_after_a_recipient_was_refused(self, mailbox):
        for address in ("550-bob", "450-bob", "ann"):
            with contextlib.suppress(DeliveryRejected, DeliveryDeferred):
                smtp.send(letter(f"{address}@mail.example"))

        assert len(mailbox.messages) == 1
        assert mailbox.connections == 1

    @pytest.mark.parametrize("address", ["421-bob", "drop-bob", "data-451-bob"])
    def test_it_is_replaced_after(self, mailbox, address):
        with pytest.raises(DeliveryDeferred):
            smtp.send(letter(f"{address}@mail.example"))

        smtp.send(letter())

        assert mailbox.messages[-1]["To"] == "ann@mail.example"
        assert mailbox.connections == 2

    def test_one_that_died_while_idle_is_replaced_before_it_is_used(self, mailbox, monkeypatch):
        smtp.send(letter())
        smtp._local.connection.connection.sock.shutdown(socket.SHUT_RDWR)
        monkeypatch.setattr(smtp, "MAX_IDLE", -1)

        smtp.send(letter())

        assert len(mailbox.messages) == 2
        assert mailbox.connections == 2

    def test_one_that_idled_and_lives_is_kept(self, mailbox, monkeypatch):
        monkeypatch.setattr(smtp, "MAX_IDLE", -1)

        smtp.send(letter())
        smtp.send(letter())

        assert mailbox.connections == 1

    def test_each_thread_has_its_own(self, mailbox):
        def work():
            smtp.send(letter())
            smtp.close()

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(mailbox.messages) == mailbox.connections == 3
