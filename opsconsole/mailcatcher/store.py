"""The caught mails: one file each, named by the time it came, so that names sort by age."""

import os
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path

from opsconsole.mailcatcher.caught_email import Mail, parse

#: What a stored mail is called; nothing else is ever opened.
NAME = re.compile(r"[0-9]{8}T[0-9]{12}-[0-9a-f]{16}\.eml")
#: A search looks at so many mails, the newest.
SEARCHED = 1000
#: Bytes that are enough for the headers of a row in a list.
HEAD = 65_536


def save(directory: Path, *, sender: str, recipients: list[str], content: bytes) -> str:
    """Store a mail behind its envelope and return its name; whoever reads sees all of it or none.

    Raises `OSError` when it can't be written, and leaves nothing behind.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(8)}.eml"
    draft = directory / f".{name}"
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(_header("X-Envelope-To", ", ".join(recipients)))
            file.write(_header("X-Envelope-From", sender))
            file.write(content)
        os.rename(draft, directory / name)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    return name


def names(directory: Path) -> list[str]:
    """All mails' names, newest first."""
    try:
        with os.scandir(directory) as entries:
            return sorted((e.name for e in entries if NAME.fullmatch(e.name)), reverse=True)
    except FileNotFoundError:  # no mail came yet
        return []


def search(directory: Path, wanted: str) -> list[str]:
    """Those of the newest `SEARCHED` mails with a recipient whose address holds the text."""
    wanted = wanted.casefold()
    return [name for name in names(directory)[:SEARCHED] if wanted in _to(directory / name)]


def read(directory: Path, name: str, *, head_only: bool = False) -> Mail | None:
    """The mail of that name, None when there is none; `head_only` leaves its bodies out."""
    if not NAME.fullmatch(name):
        return None
    try:
        received_at = datetime.strptime(name[:21], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)
        with open(directory / name, "rb") as file:
            raw = file.read(HEAD if head_only else -1)
    except (ValueError, FileNotFoundError):
        return None
    return Mail(
        name=name, received_at=received_at, raw=raw, message=parse(raw, head_only=head_only)
    )


def _header(name: str, value: str) -> bytes:
    """One header line. White space goes: a bare CR in an address would begin another header."""
    return f"{name}: {' '.join(value.split())}\r\n".encode("utf-8", "surrogateescape")


def _to(path: Path) -> str:
    """The recipients in the mail's first line; empty when it was deleted meanwhile."""
    try:
        with open(path, "rb") as file:
            return file.readline().partition(b":")[2].decode("utf-8", "replace").casefold()
    except FileNotFoundError:
        return ""
