"""Uploads that wait for their confirmation: private files, each read once."""

import os
import secrets
import tempfile
import time
from pathlib import Path
from typing import Any

from django.conf import settings as django_settings
from django.core import signing
from django.utils.translation import gettext as _
from import_export.tmp_storages import BaseStorage

from tasks_admin.admin.exchange.errors import UploadExpired

#: Seconds within which an upload can be confirmed.
TIMEOUT = 3600


def directory() -> Path:
    """The directory of the uploads; created if it does not exist."""
    base = getattr(django_settings, "DATA_DIR", None) or tempfile.gettempdir()
    path = Path(base) / "imports"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)  # fails if another user owns the directory, which is intended
    return path


def delete_expired() -> None:
    """Delete the uploads that can no longer be confirmed."""
    for path in directory().iterdir():
        try:
            if path.stat().st_mtime < time.time() - TIMEOUT:
                path.unlink()
        except FileNotFoundError:  # confirmed or deleted by another process meanwhile
            continue


def delete(name: str) -> None:
    """Delete an upload, if it exists."""
    (directory() / name).unlink(missing_ok=True)


def sign(name: str, format_number: str, user_pk: Any) -> str:
    """The signed name of an upload: only this user can confirm it, and no other file."""
    return signing.dumps([name, format_number], salt=_salt(user_pk))


def verify(value: str, user_pk: Any) -> tuple[str, str]:
    """The name of an upload and the number of its format; raises `UploadExpired`."""
    try:
        name, format_number = signing.loads(value, salt=_salt(user_pk), max_age=TIMEOUT)
    except signing.BadSignature:
        raise expired() from None
    return str(name), str(format_number)


def expired() -> UploadExpired:
    """The error for an upload that cannot be confirmed."""
    return UploadExpired(_("This import can no longer be confirmed. Upload the file again."))


def _salt(user_pk: Any) -> str:
    return f"tasks_admin.imports:{user_pk}"


class UploadStorage(BaseStorage):  # type: ignore[misc]
    """One upload. It is saved under a random name; opened by that name, it is read once."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.confirm_action = self.name is not None

    def save(self, data: bytes) -> None:
        """Save the upload."""
        self.name = secrets.token_hex(16)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with open(os.open(directory() / self.name, flags, 0o600), "wb") as file:
            file.write(data)

    def read(self) -> bytes:
        """The content. Of two concurrent confirmations, one gets `UploadExpired`."""
        path = directory() / self.name
        if not self.confirm_action:
            return path.read_bytes()
        taken = path.with_name(f"{self.name}.taken")
        try:
            path.rename(taken)
        except FileNotFoundError:
            raise expired() from None
        try:
            return taken.read_bytes()
        finally:
            taken.unlink()

    def remove(self) -> None:
        """Delete the upload."""
        delete(self.name)
