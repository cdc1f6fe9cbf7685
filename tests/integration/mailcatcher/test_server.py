"""The mail catcher takes every mail on loopback, keeps it, and relays none."""

import asyncio
import contextlib
import smtplib
import threading

import pytest

from opsconsole.mailcatcher import server, store


@pytest.fixture
def directory(tmp_path):
    """Where mails are kept; it does not exist yet."""
    return tmp_path / "data" / "mail"


@contextlib.contextmanager
def catching(directory, *, demo=False):
    """Run the server; give a client that talks to it."""
    loop = asyncio.new_event_loop()
    listener = loop.run_until_complete(server.listen(server.Catcher(directory, demo=demo), port=0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        with smtplib.SMTP(*listener.sockets[0].getsockname(), timeout=10) as client:
            yield client
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        listener.close()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def post(client, *recipients, body=b"Subject: Hello\r\n\r\nText\r\n"):
    """Send a mail; return the server's codes for those it did not take."""
    try:
        return client.sendmail("console@localhost", recipients, body)
    except smtplib.SMTPRecipientsRefused as error:
        return error.recipients


def test_a_mail_is_kept_as_it_came_behind_its_envelope(directory):
    with catching(directory) as client:
        assert post(client, "ann@mail.example", "bob@mail.example") == {}
    (name,) = store.names(directory)
    raw = (directory / name).read_bytes()
    assert raw.startswith(b"X-Envelope-To: ann@mail.example, bob@mail.example\r\n")
    assert raw.endswith(b"X-Envelope-From: console@localhost\r\nSubject: Hello\r\n\r\nText\r\n")


def test_nobody_else_on_the_machine_may_read_what_is_kept(directory):
    with catching(directory) as client:
        post(client, "ann@mail.example")
    (path,) = directory.iterdir()
    assert directory.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_mail_that_cant_be_written_is_to_be_tried_again_later(directory):
    directory.parent.mkdir()
    directory.write_text("in the way")
    with catching(directory) as client:
        with pytest.raises(smtplib.SMTPDataError) as caught:
            post(client, "ann@mail.example")
        assert caught.value.smtp_code == 452
        directory.unlink()
        assert post(client, "ann@mail.example") == {}
    assert len(store.names(directory)) == 1


def test_a_write_that_fails_halfway_leaves_nothing_behind(directory, monkeypatch):
    def full(*paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.rename", full)
    with pytest.raises(OSError, match="No space left"):
        store.save(directory, sender="", recipients=[], content=b"")
    assert list(directory.iterdir()) == []


def test_a_mail_that_is_too_big_is_refused_for_good(directory):
    with catching(directory) as client, pytest.raises(smtplib.SMTPResponseException) as caught:
        post(client, "ann@mail.example", body=b"x" * 70 + b"\r\n" + b"y" * 70 + b"\r\n" * 500_000)
    assert caught.value.smtp_code == 552
    assert store.names(directory) == []


def test_the_demo_refuses_some_recipients_for_good_and_some_twice(directory):
    with catching(directory, demo=True) as client:
        for _ in range(3):
            refused = post(client, "ann@REFUSED.example", "ann@mail.example")
            assert refused == {"ann@REFUSED.example": (550, b"5.1.1 No such mailbox")}
        codes = [post(client, "bob@busy.example") for _ in range(4)]
        later = {"bob@busy.example": (451, b"4.3.2 Try again later")}
        assert codes == [later, later, {}, {}]
        assert post(client, "Eve@busy.example"), "each recipient is counted alone"


def test_outside_the_demo_everybody_is_taken(directory):
    with catching(directory) as client:
        assert post(client, "ann@refused.example", "ann@busy.example") == {}


def test_a_carriage_return_in_an_address_begins_no_header(directory):
    name = store.save(
        directory, sender="", recipients=["ann\rSubject: forged"], content=b"Subject: Hello\r\n"
    )
    assert store.read(directory, name).subject == "Hello"
