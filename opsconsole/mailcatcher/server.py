"""The mail catcher's SMTP server: takes every mail on loopback, stores it, relays nothing."""

import asyncio
import logging
from collections import Counter
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from opsconsole.mailcatcher import store

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
#: Bytes that one mail may have.
MAX_BYTES = 1_000_000
#: Attempts at one recipient of `busy.example` that are put off in the demo.
BUSY_ATTEMPTS = 2


class Catcher:
    """Stores each mail in the directory; with `demo`, some recipients are refused."""

    def __init__(self, directory: Path, *, demo: bool = False) -> None:
        self.directory = directory
        self.demo = demo
        self.attempts: Counter[str] = Counter()

    async def handle_RCPT(  # noqa: N802 (aiosmtpd's name)
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take or refuse a recipient."""
        if self.demo and (refusal := self.refusal(address.lower())):
            return refusal
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 (aiosmtpd's name)
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Store the mail before saying so; a full disk is a reason to try again later."""
        try:
            store.save(
                self.directory,
                sender=envelope.mail_from or "",
                recipients=[str(address) for address in envelope.rcpt_tos],
                content=envelope.original_content or b"",
            )
        except OSError as error:
            logger.error("A mail could not be stored in %s: %s", self.directory, error.strerror)
            return "452 4.3.1 The mail can't be stored now, try again later"
        return "250 OK"

    def refusal(self, address: str) -> str:
        """What a server that is not well would answer; empty when it takes the recipient."""
        domain = address.rpartition("@")[2]
        if domain == "refused.example":
            return "550 5.1.1 No such mailbox"
        if domain == "busy.example":
            self.attempts[address] += 1
            if self.attempts[address] <= BUSY_ATTEMPTS:
                return "451 4.3.2 Try again later"
        return ""


async def listen(catcher: Catcher, *, port: int) -> asyncio.Server:
    """Listen on loopback, port 0 being any free one; raise `OSError` when the port is taken."""
    # aiosmtpd logs every command with its addresses, and at DEBUG the mails themselves.
    logging.getLogger("mail.log").setLevel(logging.WARNING)
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: _conversation(catcher, loop), HOST, port)


def _conversation(catcher: Catcher, loop: asyncio.AbstractEventLoop) -> SMTP:
    """One client's conversation. The name is given, as looking it up may take seconds."""
    return SMTP(
        catcher,
        data_size_limit=MAX_BYTES,
        enable_SMTPUTF8=True,
        hostname="localhost",
        ident="mail catcher",
        loop=loop,
    )
