"""Parses a caught email. Any email can be shown, however malformed it is."""

from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import EmailPolicy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Policy = EmailPolicy[EmailMessage]
else:
    Policy = EmailPolicy

#: The standard library takes minutes to parse a crafted header of a megabyte: longer headers
#: are not parsed.
MAX_HEADER_LENGTH = 2000


class TolerantPolicy(Policy):
    """Python's default policy, except that a header that cannot be parsed keeps its raw text."""

    def header_fetch_parse(self, name: str, value: str) -> Any:
        """Return the parsed header, or its raw text."""
        if len(value) <= MAX_HEADER_LENGTH:
            try:
                return super().header_fetch_parse(name, value)
            except Exception:  # malformed headers raise many types, RecursionError among them
                return sanitize(value)
        return sanitize(value)


POLICY = TolerantPolicy()


@dataclass(frozen=True, kw_only=True)
class CaughtEmail:
    """One caught email. All its texts can be rendered on a page."""

    name: str
    received_at: datetime
    raw: bytes
    message: EmailMessage

    @property
    def recipients(self) -> str:
        """The recipients of the SMTP envelope, which can differ from the header To."""
        return sanitize(self.message["X-Envelope-To"] or "")

    @property
    def subject(self) -> str:
        """The header Subject."""
        return sanitize(self.message["Subject"] or "")

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The headers in their order, the two of the envelope first."""
        return [(sanitize(name), sanitize(value)) for name, value in self.message.items()]

    @property
    def text(self) -> str:
        """The plain text; the raw source of the body if it cannot be parsed."""
        try:
            return self._body("plain")
        except Exception:  # for example an unknown charset or a malformed multipart
            return sanitize(self.raw.partition(b"\r\n\r\n")[2].decode("utf-8", "replace"))

    @property
    def html(self) -> str:
        """The HTML source; empty if there is none or it cannot be parsed."""
        try:
            return self._body("html")
        except Exception:  # `text` is the raw source then
            return ""

    def _body(self, subtype: str) -> str:
        """Return the body of that text subtype; empty if there is none."""
        part = self.message.get_body((subtype,))
        return sanitize(part.get_content()) if part else ""


def sanitize(text: object) -> str:
    """Replace lone surrogates and NUL, which a page cannot contain."""
    return str(text).encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def parse(raw: bytes, *, head_only: bool = False) -> EmailMessage:
    """Parse an email; parse only its headers if its body cannot be parsed."""
    parser = BytesParser(policy=POLICY)
    if head_only:
        return parser.parsebytes(raw, headersonly=True)
    try:
        return parser.parsebytes(raw)
    except Exception:  # for example RecursionError, for thousands of nested multiparts
        return parser.parsebytes(raw, headersonly=True)
