"""The SMTP server of the mail catcher accepts all emails and stores them."""

import asyncio
import contextlib
import smtplib
import threading

import pytest

from opsconsole.mailcatcher import server, store


@pytest.fixture
def directory(tmp_path):
    """The directory of the emails, which does not exist yet."""
    return tmp_path / "data" / "mail"


@contextlib.contextmanager
def running_server(directory, *, demo=False):
    """Run the server; yield a client that is connected to it."""
    loop = asyncio.new_event_loop()
    listener = loop.run_until_complete(
        server.listen(server.StoringHandler(directory, demo=demo), port=0)
    )
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        with smtplib.SMTP(*listener.sockets[0].getsockname(), timeout=120) as client:
            yield client
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        listener.close()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def send(client, *recipients, body=b"Subject: Hello\r\n\r\nText\r\n"):
    """Send an email; return the error of each rejected recipient."""
    try:
        return client.sendmail("console@localhost", recipients, body)
    except smtplib.SMTPRecipientsRefused as error:
        return error.recipients


def test_an_email_is_stored_unchanged_after_its_envelope(directory):
    with running_server(directory) as client:
        assert send(client, "ann@mail.example", "bob@mail.example") == {}
    (name,) = store.names(directory)
    raw = (directory / name).read_bytes()
    assert raw.startswith(b"X-Envelope-To: ann@mail.example, bob@mail.example\r\n")
    assert raw.endswith(b"X-Envelope-From: console@localhost\r\nSubject: Hello\r\n\r\nText\r\n")


def test_other_users_of_the_machine_cannot_read_the_emails(directory):
    with running_server(directory) as client:
        send(client, "ann@mail.example")
    (path,) = directory.iterdir()
    assert directory.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_failed_write_is_a_temporary_error(directory):
    directory.parent.mkdir()
    directory.write_text("not a directory")
    with running_server(directory) as client:
        with pytest.raises(smtplib.SMTPDataError) as caught:
            send(client, "ann@mail.example")
        assert caught.value.smtp_code == 452
        directory.unlink()
        assert send(client, "ann@mail.example") == {}
    assert len(store.names(directory)) == 1


def test_a_failed_write_leaves_no_file(directory, monkeypatch):
    def rename(*paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.rename", rename)
    with pytest.raises(OSError, match="No space left"):
        store.save(directory, sender="", recipients=[], content=b"")
    assert list(directory.iterdir()) == []


def test_a_too_large_email_is_a_permanent_error(directory):
    with (
        running_server(directory) as client,
        pytest.raises(smtplib.SMTPResponseException) as caught,
    ):
        send(client, "ann@mail.example", body=b"x" * 70 + b"\r\n" + b"y" * 70 + b"\r\n" * 500_000)
    assert caught.value.smtp_code == 552
    assert store.names(directory) == []


def test_the_demo_rejects_some_recipients_and_defers_others_twice(directory):
    with running_server(directory, demo=True) as client:
        for _ in range(3):
            rejected = send(client, "ann@REFUSED.example", "ann@mail.example")
            assert rejected == {"ann@REFUSED.example": (550, b"5.1.1 No such mailbox")}
        codes = [send(client, "bob@busy.example") for _ in range(4)]
        deferred = {"bob@busy.example": (451, b"4.3.2 Try again later")}
        assert codes == [deferred, deferred, {}, {}]
        assert send(client, "Eve@busy.example"), "attempts are counted per recipient"


def test_without_demo_all_recipients_are_accepted(directory):
    with running_server(directory) as client:
        assert send(client, "ann@refused.example", "ann@busy.example") == {}


def test_a_carriage_return_in_an_address_does_not_inject_a_header(directory):
    name = store.save(
        directory, sender="", recipients=["ann\rSubject: forged"], content=b"Subject: Hello\r\n"
    )
    assert store.read(directory, name).subject == "Hello"
