"""The mail catcher's SMTP server: accepts all emails on loopback, stores them, relays none."""

import asyncio
import logging
from collections import Counter
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from opsconsole.mailcatcher import store

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
#: Maximum size of an email.
MAX_BYTES = 1_000_000
#: In the demo, the first attempts at each recipient in `busy.example` are deferred.
DEFERRED_ATTEMPTS = 2


class StoringHandler:
    """Stores each email in the directory; with `demo`, rejects or defers some recipients."""

    def __init__(self, directory: Path, *, demo: bool = False) -> None:
        self.directory = directory
        self.demo = demo
        self.attempts: Counter[str] = Counter()

    async def handle_RCPT(  # noqa: N802 (aiosmtpd's name)
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Accept or reject a recipient."""
        if self.demo and (rejection := self.demo_rejection(address.lower())):
            return rejection
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 (aiosmtpd's name)
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Store the email before accepting it; ask the client to retry if the disk is full."""
        try:
            store.save(
                self.directory,
                sender=envelope.mail_from or "",
                recipients=[str(address) for address in envelope.rcpt_tos],
                content=envelope.original_content or b"",
            )
        except OSError as error:
            logger.error("Storing an email in %s failed: %s", self.directory, error.strerror)
            return "452 4.3.1 The email cannot be stored now, try again later"
        return "250 OK"

    def demo_rejection(self, address: str) -> str:
        """Return the SMTP error for a recipient of the demo; empty if it is accepted."""
        domain = address.rpartition("@")[2]
        if domain == "refused.example":
            return "550 5.1.1 No such mailbox"
        if domain == "busy.example":
            self.attempts[address] += 1
            if self.attempts[address] <= DEFERRED_ATTEMPTS:
                return "451 4.3.2 Try again later"
        return ""


async def listen(handler: StoringHandler, *, port: int) -> asyncio.Server:
    """Listen on loopback; port 0 is any free port. Raises `OSError` if the port is in use."""
    # aiosmtpd logs each command with its addresses, and at DEBUG the emails themselves.
    logging.getLogger("mail.log").setLevel(logging.WARNING)
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: _create_protocol(handler, loop), HOST, port)


def _create_protocol(handler: StoringHandler, loop: asyncio.AbstractEventLoop) -> SMTP:
    """Return the protocol of one connection."""
    return SMTP(
        handler,
        data_size_limit=MAX_BYTES,
        enable_SMTPUTF8=True,
        hostname="localhost",  # aiosmtpd would look up the name, which may take seconds
        ident="mail catcher",
        loop=loop,
    )
