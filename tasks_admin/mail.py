"""The one door to the mail server: a connection kept open, and errors told apart by reply code."""

import logging
import re
import smtplib
import threading
import time

from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend

from tasks_admin.errors import MailDelayed, MailRefused

logger = logging.getLogger(__name__)
_local = threading.local()

#: Seconds after which an idle connection is asked whether it is still there.
IDLE = 5.0
ADDRESS = re.compile(r"[^\s<>\"',;:]+@[^\s<>\"',;:]+")


def send(message: EmailMessage) -> None:
    """Hand the message to the mail server.

    Raises `MailRefused` when it will never be taken, and `MailDelayed` when it may be later. The
    text of either is the server's reply code and words, with every address removed.
    """
    try:
        _connection().send_messages([message])
        _local.used_at = time.monotonic()
    except Exception as error:
        code, words = _reply(error)
        if code == 421 or not isinstance(error, smtplib.SMTPRecipientsRefused):
            close()  # smtplib leaves a connection that saw a 421 unusable but open
        raise _judge(error, code, f"{code or ''} {words}".strip()) from None


def close() -> None:
    """Drop this thread's connection; the next mail opens a new one."""
    connection = getattr(_local, "connection", None)
    _local.connection = None
    if connection is not None:
        try:
            connection.close()
        except OSError as error:  # it died first: nothing is left to close
            logger.debug("Closing the mail connection: %s", type(error).__name__)


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
        connection = get_connection()
        connection.open()
        _local.connection, _local.used_at = connection, time.monotonic()
    connection_now: BaseEmailBackend = _local.connection
    return connection_now


def _reply(error: Exception) -> tuple[int, str]:
    """The mail server's code and words; 0 and the error's kind when it said nothing."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, words = next(iter(error.recipients.values()))
        text = words.decode("utf-8", "replace")
    elif isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error
        code, text = (
            error.smtp_code,
            said if isinstance(said, str) else said.decode("utf-8", "replace"),
        )
    else:
        return 0, type(error).__name__
    return code, ADDRESS.sub("<address>", " ".join(text.split()))[:300]


def _judge(error: Exception, code: int, text: str) -> MailRefused | MailDelayed:
    """Decide by code, never by class: one class of smtplib's carries 450 and 550 alike."""
    about_us = smtplib.SMTPAuthenticationError, smtplib.SMTPConnectError, smtplib.SMTPHeloError
    if isinstance(error, about_us):
        return MailDelayed(text)  # our account or our host: not this addressee's fault
    if code >= 500 or isinstance(error, (UnicodeError, ValueError)):
        return MailRefused(text)
    return MailDelayed(text)  # lost, timed out, or stopped by the task's time limit
