"""Stores each caught email in a file, named by its time of arrival: names sort by age."""

import os
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path

from opsconsole.mailcatcher.caught_email import CaughtEmail, parse

#: The names of stored emails. Files with other names are never opened.
NAME_PATTERN = re.compile(r"[0-9]{8}T[0-9]{12}-[0-9a-f]{16}\.eml")
#: A search reads this number of emails, the latest.
MAX_SEARCHED = 1000
#: Bytes of a file that contain the headers shown in the list.
MAX_HEADER_BYTES = 65_536


def save(directory: Path, *, sender: str, recipients: list[str], content: bytes) -> str:
    """Store an email after its envelope, atomically, and return its name.

    Raises `OSError` if it cannot be written, and leaves no file.
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
    """Return the names of all emails, latest first."""
    try:
        with os.scandir(directory) as entries:
            return sorted((e.name for e in entries if NAME_PATTERN.fullmatch(e.name)), reverse=True)
    except FileNotFoundError:  # the first email creates the directory
        return []


def search(directory: Path, text: str) -> list[str]:
    """Return which of the latest `MAX_SEARCHED` emails have a recipient that contains the text."""
    text = text.casefold()
    latest = names(directory)[:MAX_SEARCHED]
    return [name for name in latest if text in _read_recipients(directory / name)]


def read(directory: Path, name: str, *, head_only: bool = False) -> CaughtEmail | None:
    """Return the email of that name, or None; with `head_only`, without its body."""
    if not NAME_PATTERN.fullmatch(name):
        return None
    try:
        received_at = datetime.strptime(name[:21], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)
        with open(directory / name, "rb") as file:
            raw = file.read(MAX_HEADER_BYTES if head_only else -1)
    except (ValueError, FileNotFoundError):
        return None
    return CaughtEmail(
        name=name, received_at=received_at, raw=raw, message=parse(raw, head_only=head_only)
    )


def _header(name: str, value: str) -> bytes:
    """Return a header line. A bare CR in an address would begin another header: collapse blanks."""
    return f"{name}: {' '.join(value.split())}\r\n".encode("utf-8", "surrogateescape")


def _read_recipients(path: Path) -> str:
    """Return the first header, the recipients; empty if the file was deleted meanwhile."""
    try:
        with open(path, "rb") as file:
            return file.readline().partition(b":")[2].decode("utf-8", "replace").casefold()
    except FileNotFoundError:
        return ""
