"""One caught mail, taken apart: no mail is so garbled that it can't be shown."""

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

#: The standard library takes minutes for a crafted header of a megabyte: longer ones stay raw.
LONGEST_HEADER = 2000


class ForgivingPolicy(Policy):
    """Python's default policy, but a header that it can't read is shown as it came."""

    def header_fetch_parse(self, name: str, value: str) -> Any:
        """The parsed header, or its raw text."""
        if len(value) <= LONGEST_HEADER:
            try:
                return super().header_fetch_parse(name, value)
            except Exception:  # garbled headers raise all sorts, RecursionError among them
                return presentable(value)
        return presentable(value)


POLICY = ForgivingPolicy()


@dataclass(frozen=True, kw_only=True)
class Mail:
    """One caught mail. All of its texts can be put into a page, however garbled it came."""

    name: str
    received_at: datetime
    raw: bytes
    message: EmailMessage

    @property
    def recipients(self) -> str:
        """Whom it was for, as the server was told: headers may say otherwise."""
        return presentable(self.message["X-Envelope-To"] or "")

    @property
    def subject(self) -> str:
        """Its subject."""
        return presentable(self.message["Subject"] or "")

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Its headers in their order, the two that tell the envelope first."""
        return [(presentable(name), presentable(text)) for name, text in self.message.items()]

    @property
    def text(self) -> str:
        """Its text; all that came behind the headers when it can't be taken apart."""
        try:
            return self._part("plain")
        except Exception:  # unknown charsets, broken multiparts: the source still tells
            return presentable(self.raw.partition(b"\r\n\r\n")[2].decode("utf-8", "replace"))

    @property
    def html(self) -> str:
        """The source of its HTML; empty when there is none, or none that can be read."""
        try:
            return self._part("html")
        except Exception:  # `text` shows the source already
            return ""

    def _part(self, kind: str) -> str:
        """The body of that kind; empty when there is none."""
        part = self.message.get_body((kind,))
        return presentable(part.get_content()) if part else ""


def presentable(text: object) -> str:
    """Text without what no page can hold: lone surrogates and NUL."""
    return str(text).encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def parse(raw: bytes, *, head_only: bool = False) -> EmailMessage:
    """The mail taken apart; only its headers when its parts can't be."""
    parser = BytesParser(policy=POLICY)
    if head_only:
        return parser.parsebytes(raw, headersonly=True)
    try:
        return parser.parsebytes(raw)
    except Exception:  # thousands of nested multiparts raise RecursionError, to name one
        return parser.parsebytes(raw, headersonly=True)
