"""Email over SMTP: one connection per thread, and errors classified by the reply code."""

import re
import smtplib
import threading
import time

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from tasks_admin.integrations.mail.backends import make_backend
from tasks_admin.lib.errors import DeliveryDeferred, DeliveryRejected

_local = threading.local()

#: Seconds after which an idle connection is checked before it is used.
MAX_IDLE = 5.0
#: Characters of the server's reply that are kept.
MAX_REPLY_LENGTH = 300
#: Addresses, and texts as long as a token: a server quotes what it rejects.
PRIVATE = re.compile(r"<?[^\s<>\"',;:]+@[^\s<>\"',;:]+>?|[\w.~%=?&-]{60,}")
#: These errors concern our account or host, not the recipient.
SENDER_ERRORS = (
    smtplib.SMTPAuthenticationError,
    smtplib.SMTPConnectError,
    smtplib.SMTPHeloError,
    smtplib.SMTPSenderRefused,
)


def send(message: EmailMessage) -> None:
    """See `EmailTransport.send`."""
    connected = False
    try:
        connection = _connection()
        connected = True
        connection.send_messages([message])
        _local.used_at = time.monotonic()
    except Exception as error:
        code, words = _reply(error, message)
        if code == 421 or not isinstance(error, smtplib.SMTPRecipientsRefused):
            close()  # smtplib leaves a connection that saw a 421 unusable but open
        # Without a reply the server may have accepted a message that was being sent.
        uncertain = connected and not code
        raise _classify(error, code, f"{code or ''} {words}".strip(), uncertain=uncertain) from None


def close() -> None:
    """See `EmailTransport.close`: a QUIT could block. The next email opens a new connection."""
    server, _local.connection = getattr(_local, "connection", None), None
    # Django keeps a connection that is not fully open under the second name.
    for name in ("connection", "_partial_connection"):
        if smtp := getattr(server, name, None):
            smtp.close()


def timeout() -> float | None:
    """See `EmailTransport.timeout`."""
    return getattr(make_backend(), "timeout", None)


def _connection() -> BaseEmailBackend:
    """This thread's connection: open, and checked if it was idle."""
    if getattr(_local, "connection", None) and time.monotonic() - _local.used_at > MAX_IDLE:
        smtp = getattr(_local.connection, "connection", None)
        try:
            alive = smtp is None or smtp.noop()[0] == 250
        except (smtplib.SMTPException, OSError):
            alive = False
        if not alive:
            close()
    if getattr(_local, "connection", None) is None:
        _local.connection, _local.used_at = make_backend(), time.monotonic()
        _local.connection.open()
    connection: BaseEmailBackend = _local.connection
    return connection


def _reply(error: Exception, message: EmailMessage) -> tuple[int, str]:
    """The mail server's code and text; 0 and the error's class if it did not reply."""
    reply: str | bytes
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, reply = next(iter(error.recipients.values()))
    elif isinstance(error, smtplib.SMTPResponseException):
        code, reply = error.smtp_code, error.smtp_error
    else:
        return 0, type(error).__name__
    text = reply if isinstance(reply, str) else reply.decode("utf-8", "replace")
    text = PRIVATE.sub("<hidden>", " ".join(text.split()))
    for address in message.recipients():  # as in "no mailbox named bob here"
        name = re.escape(address.rpartition("@")[0])
        text = re.sub(rf"(?<!\w){name}(?!\w)", "<hidden>", text, flags=re.IGNORECASE)
    return code, text[:MAX_REPLY_LENGTH]


def _classify(
    error: Exception, code: int, text: str, *, uncertain: bool
) -> DeliveryRejected | DeliveryDeferred:
    """Decide by the code: one class of smtplib's has both 450 and 550."""
    if isinstance(error, SENDER_ERRORS):
        return DeliveryDeferred(text)
    # A certificate that can't be verified is a ValueError too, and an OSError.
    if code >= 500 or (isinstance(error, ValueError) and not isinstance(error, OSError)):
        return DeliveryRejected(text)
    # The connection was lost, timed out, or stopped by the task's time limit.
    return DeliveryDeferred(text, uncertain=uncertain)
