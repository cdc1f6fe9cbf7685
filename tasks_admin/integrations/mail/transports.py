"""The contract of an email transport, and the table of them.

To send through a provider's HTTP API, write a module with the functions of `EmailTransport`, and
add a row to `TRANSPORTS`.
"""

from typing import Protocol

from django.core.mail import EmailMessage

from tasks_admin.integrations.mail import smtp
from tasks_admin.integrations.mail.backends import backend_path


class EmailTransport(Protocol):
    """How an email leaves this process. A module with these functions is one."""

    def send(self, message: EmailMessage) -> None:
        """Hand one message over. Returns when the server has accepted it.

        Raises `DeliveryRejected` when the server will never accept it, and `DeliveryDeferred` for
        any other error, with `uncertain=True` when the server may have accepted it. The text of
        either is the server's reply, without addresses and links.
        """

    def close(self) -> None:
        """Drop this thread's connection, if there is one, without waiting for the server."""

    def timeout(self) -> float | None:
        """Seconds after which a server that does not reply counts as unavailable; None: never.

        The tasks that send emails are stopped after 15 seconds.
        """


#: By the path of Django's email backend. `smtp` sends through any backend of Django's.
TRANSPORTS: dict[str, EmailTransport] = {"django.core.mail.backends.smtp.EmailBackend": smtp}


def configured() -> EmailTransport:
    """The transport of the email backend in Django's settings."""
    return TRANSPORTS.get(backend_path(), smtp)
