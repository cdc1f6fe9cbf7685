"""Uploads that wait for their confirmation: files that only we can read, each read once."""

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

from tasks_admin.admin.exchange.errors import UploadGone

#: Seconds for which an upload can be confirmed.
PATIENCE = 3600


def directory() -> Path:
    """The directory of the uploads; made when it is not there."""
    base = getattr(django_settings, "DATA_DIR", None) or tempfile.gettempdir()
    place = Path(base) / "imports"
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    place.chmod(0o700)  # refused when it is not ours, and that is meant
    return place


def sweep() -> None:
    """Remove the uploads that nobody will confirm any more."""
    for path in directory().iterdir():
        try:
            if path.stat().st_mtime < time.time() - PATIENCE:
                path.unlink()
        except FileNotFoundError:  # it was confirmed, or swept by somebody else, just now
            continue


def discard(name: str) -> None:
    """Remove an upload; one that is gone is fine."""
    (directory() / name).unlink(missing_ok=True)


def ticket(name: str, form: str, user_pk: Any) -> str:
    """Name an upload to the browser, so that only this user can confirm it, and nothing else."""
    return signing.dumps([name, form], salt=_salt(user_pk))


def redeem(value: str, user_pk: Any) -> tuple[str, str]:
    """Return the upload's name and its format's number; raises `UploadGone`."""
    try:
        name, form = signing.loads(value, salt=_salt(user_pk), max_age=PATIENCE)
    except signing.BadSignature:
        raise gone() from None
    return str(name), str(form)


def gone() -> UploadGone:
    """The error to raise for an upload that can't be confirmed."""
    return UploadGone(_("This import can't be confirmed any more. Upload the file again."))


def _salt(user_pk: Any) -> str:
    return f"tasks_admin.imports:{user_pk}"


class Uploads(BaseStorage):  # type: ignore[misc]
    """One upload. Saved under a name of our own; called by name, it is read once and removed."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.confirm_action = self.name is not None

    def save(self, data: bytes) -> None:
        """Keep an upload."""
        self.name = secrets.token_hex(16)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with open(os.open(directory() / self.name, flags, 0o600), "wb") as file:
            file.write(data)

    def read(self) -> bytes:
        """Return what was uploaded; of two confirmations at once, one gets `UploadGone`."""
        path = directory() / self.name
        if not self.confirm_action:
            return path.read_bytes()
        taken = path.with_name(f"{self.name}.taken")
        try:
            path.rename(taken)
        except FileNotFoundError:
            raise gone() from None
        try:
            return taken.read_bytes()
        finally:
            taken.unlink()

    def remove(self) -> None:
        """Remove the upload."""
        discard(self.name)
