"""Values as text that can be typed, and back: exactly, or not at all."""

import datetime as dt
import json
import re
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from tasks_admin.lib import celery_json
from tasks_admin.results.signatures.hints import LARGEST, Entry, Hint

#: What a form field brings back as it was. Others are lost on the way, or change.
UNSPEAKABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]|\r(?!\n)")
WHOLE = re.compile(r"[+-]?[0-9]{1,19}")
NUMBER = re.compile(r"[+-]?([0-9]{1,400}(\.[0-9]{0,400})?|\.[0-9]{1,400})([eE][+-]?[0-9]{1,4})?")


def written(hint: Hint, value: Any) -> str | None:
    """A value as it is typed in; None when it can't be, as it is not of the hint's type."""
    if value is None and hint.nullable:
        return None
    if hint.entry is Entry.JSON:
        return celery_json.readable(
            value, indent=2 if isinstance(value, (list, dict)) and value else None
        )
    if not hint.fits(value):
        return None
    if hint.entry is Entry.CHOICE:
        return celery_json.encode(value)
    if hint.entry is Entry.TEXT:
        return None if UNSPEAKABLE.search(value) else folded(value)
    if hint.entry is Entry.TRUTH:
        return "true" if value else "false"
    if hint.entry is Entry.NUMBER:
        text = repr(value)
        return text if NUMBER.fullmatch(text) else None
    return value.isoformat() if isinstance(value, (dt.date, dt.time)) else str(value)


def read(hint: Hint, text: str) -> Any:
    """The value that was typed in. Raises `ValueError` with words that say what it must be."""
    if hint.entry is Entry.TEXT:
        return folded(text)
    if hint.entry is Entry.JSON:
        return _json(text)
    try:
        return READERS[hint.entry](text.strip())
    except (ValueError, ArithmeticError):
        must = _("must be %(words)s.") % {"words": hint.words()}
        raise ValueError(must) from None


def folded(text: str) -> str:
    """Text with its line ends as Python has them: browsers send others."""
    return text.replace("\r\n", "\n")


def _json(text: str) -> Any:
    try:
        return celery_json.decode(text, strict=True)
    except json.JSONDecodeError as error:
        where = {"line": error.lineno, "column": error.colno}
        said = _("is no JSON (line %(line)d, column %(column)d). A text stands in double quotes.")
        raise ValueError(said % where) from None
    except celery_json.DECODING_ERRORS:
        raise ValueError(_("is no JSON that can be sent.")) from None


def _whole(text: str) -> int:
    if not WHOLE.fullmatch(text) or abs(int(text)) > LARGEST:
        raise ValueError
    return int(text)


def _decimal(text: str) -> Decimal:
    if not NUMBER.fullmatch(text):
        raise ValueError
    return Decimal(text)


def _truth(text: str) -> bool:
    return {"true": True, "false": False}[text] if text in {"true", "false"} else _refuse()


def _refuse() -> Any:
    raise ValueError


READERS: dict[Entry, Callable[[str], Any]] = {
    Entry.WHOLE: _whole,
    Entry.NUMBER: lambda text: float(_decimal(text)),
    Entry.DECIMAL: _decimal,
    Entry.TRUTH: _truth,
    Entry.CHOICE: celery_json.decode,
    Entry.UUID: uuid.UUID,
    Entry.DATE: dt.date.fromisoformat,
    Entry.MOMENT: dt.datetime.fromisoformat,
    Entry.TIME: dt.time.fromisoformat,
}
