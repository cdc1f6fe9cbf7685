"""A real SMTP server that misbehaves on request, by the local part of the recipient."""

from collections import Counter
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any


class Mailbox:
    """aiosmtpd's handler: keeps what it accepts.

    `NNN-name@` is answered with code NNN at RCPT, `twice-name@` with 451 the first two times;
    `data-NNN-name@` with NNN after DATA; `drop-name@` is accepted, then the connection is cut
    before the reply.
    """

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.connections = 0
        self.tries: Counter[str] = Counter()

    async def handle_EHLO(  # noqa: N802 (aiosmtpd's name)
        self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        self.tries[address] += 1
        code = address.partition("-")[0]
        if code.isdigit():
            return f"{code} 5.1.1 <{address}> is not wanted"
        if code == "twice" and self.tries[address] <= 2:
            return "451 4.7.1 try later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        address = envelope.rcpt_tos[0]
        kind, _, code = address.partition("@")[0].partition("-")
        if kind == "data":
            return f"{code[:3]} {address} not now"
        self.recipients += envelope.rcpt_tos
        self.messages.append(message_from_bytes(envelope.content, policy=policy.default))
        if kind == "drop":
            server.transport.abort()
        return "250 OK"
