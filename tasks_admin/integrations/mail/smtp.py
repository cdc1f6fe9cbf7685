"""The one door to the mail server: a connection kept open, and errors told apart by reply code."""

import re
import smtplib
import threading
import time
from typing import Any

import django
from django.core import mail
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from tasks_admin.lib.errors import EmailDeferred, EmailRejected

_local = threading.local()

#: Seconds after which an idle connection is asked whether it is still there.
IDLE = 5.0
#: Addresses, and what is as long as a token: a server quotes what it refuses.
PRIVATE = re.compile(r"<?[^\s<>\"',;:]+@[^\s<>\"',;:]+>?|[\w.~%=?&-]{60,}")
#: What these say is about our account or our host, not about the addressee.
ABOUT_US = (
    smtplib.SMTPAuthenticationError,
    smtplib.SMTPConnectError,
    smtplib.SMTPHeloError,
    smtplib.SMTPSenderRefused,
)


def send(message: EmailMessage) -> None:
    """Hand the message to the mail server.

    Raises `MailRefused` when it will never be taken, and `MailDelayed` when it may be later. The
    text of either is the server's reply code and words, with addresses and links removed.
    """
    begun = False
    try:
        connection = _connection()
        begun = True
        connection.send_messages([message])
        _local.used_at = time.monotonic()
    except Exception as error:
        code, words = _reply(error, message)
        if code == 421 or not isinstance(error, smtplib.SMTPRecipientsRefused):
            close()  # smtplib leaves a connection that saw a 421 unusable but open
        # No reply to a mail that was begun: nobody knows whether it was taken.
        uncertain = begun and not code
        raise _judge(error, code, f"{code or ''} {words}".strip(), uncertain=uncertain) from None


def close() -> None:
    """Drop this thread's connection, without a goodbye that could hang; the next mail opens one."""
    server, _local.connection = getattr(_local, "connection", None), None
    for name in ("connection", "_partial_connection"):  # Django keeps a half-open one apart
        if smtp := getattr(server, name, None):
            smtp.close()


def _connection() -> BaseEmailBackend:
    """Return this thread's connection, open and answering."""
    if getattr(_local, "connection", None) and time.monotonic() - _local.used_at > IDLE:
        smtp = getattr(_local.connection, "connection", None)
        try:
            alive = smtp is None or smtp.noop()[0] == 250
        except (smtplib.SMTPException, OSError):
            alive = False
        if not alive:
            close()
    if getattr(_local, "connection", None) is None:
        _local.connection, _local.used_at = _server(), time.monotonic()
        _local.connection.open()
    connection_now: BaseEmailBackend = _local.connection
    return connection_now


def _server() -> BaseEmailBackend:
    """The mail server of Django's settings: `MAILERS` from 6.1 on, `EMAIL_…` before."""
    if django.VERSION >= (6, 1):
        mailers: Any = getattr(mail, "mailers")  # noqa: B009 (unknown to the types of 5.2)
        server: BaseEmailBackend = mailers["default"]
        return server
    return mail.get_connection()


def timeout() -> float | None:
    """Seconds after which the mail server counts as hanging; None: never."""
    return getattr(_server(), "timeout", None)


def _reply(error: Exception, message: EmailMessage) -> tuple[int, str]:
    """The mail server's code and words; 0 and the error's kind when it said nothing."""
    said: str | bytes
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, said = next(iter(error.recipients.values()))
    elif isinstance(error, smtplib.SMTPResponseException):
        code, said = error.smtp_code, error.smtp_error
    else:
        return 0, type(error).__name__
    words = said if isinstance(said, str) else said.decode("utf-8", "replace")
    words = PRIVATE.sub("<hidden>", " ".join(words.split()))
    for address in message.recipients():  # some say "no mailbox named bob here"
        name = re.escape(address.rpartition("@")[0])
        words = re.sub(rf"(?<!\w){name}(?!\w)", "<hidden>", words, flags=re.IGNORECASE)
    return code, words[:300]


def _judge(
    error: Exception, code: int, text: str, *, uncertain: bool
) -> EmailRejected | EmailDeferred:
    """Decide by code, never by class: one class of smtplib's carries 450 and 550 alike."""
    if isinstance(error, ABOUT_US):
        return EmailDeferred(text)
    # A certificate that can't be verified is a ValueError too, and an OSError.
    if code >= 500 or (isinstance(error, ValueError) and not isinstance(error, OSError)):
        return EmailRejected(text)
    return EmailDeferred(
        text, uncertain=uncertain
    )  # lost, timed out, or stopped by the task's time limit
