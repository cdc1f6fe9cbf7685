"""Values as text in form fields, and back: exactly, or not at all."""

import datetime as dt
import json
import re
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from tasks_admin.lib import celery_json
from tasks_admin.results.signatures.hints import MAX_INTEGER, Hint, InputKind

#: Characters that a browser drops or changes when it submits a form.
NOT_SUBMITTED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]|\r(?!\n)")
INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
NUMBER = re.compile(r"[+-]?([0-9]{1,400}(\.[0-9]{0,400})?|\.[0-9]{1,400})([eE][+-]?[0-9]{1,4})?")


def to_text(hint: Hint, value: Any) -> str | None:
    """The value as text for a form field; None if no text stands for it exactly."""
    if value is None and hint.nullable:
        return None
    if hint.input is InputKind.JSON:
        return celery_json.readable(
            value, indent=2 if isinstance(value, (list, dict)) and value else None
        )
    if not hint.matches(value):
        return None
    if hint.input is InputKind.CHOICE:
        return celery_json.encode(value)
    if hint.input is InputKind.STRING:
        return None if NOT_SUBMITTED.search(value) else normalize_newlines(value)
    if hint.input is InputKind.BOOLEAN:
        return "true" if value else "false"
    if hint.input is InputKind.NUMBER:
        text = repr(value)
        return text if NUMBER.fullmatch(text) else None
    return value.isoformat() if isinstance(value, (dt.date, dt.time)) else str(value)


def parse(hint: Hint, text: str) -> Any:
    """The value of a form field. Raises `ValueError` with a message that names the valid types."""
    if hint.input is InputKind.STRING:
        return normalize_newlines(text)
    if hint.input is InputKind.JSON:
        return _json(text)
    try:
        return PARSERS[hint.input](text.strip())
    except (ValueError, ArithmeticError):
        message = _("expected %(type)s.") % {"type": hint.describe()}
        raise ValueError(message) from None


def normalize_newlines(text: str) -> str:
    """Text with Python's line ends: browsers submit CR LF."""
    return text.replace("\r\n", "\n")


def _json(text: str) -> Any:
    try:
        return celery_json.decode(text, strict=True)
    except json.JSONDecodeError as error:
        where = {"line": error.lineno, "column": error.colno}
        message = _(
            "is not valid JSON (line %(line)d, column %(column)d). "
            "Strings must be in double quotes."
        )
        raise ValueError(message % where) from None
    except celery_json.DECODING_ERRORS:
        raise ValueError(_("contains NaN, infinity or a duplicate name.")) from None


def _integer(text: str) -> int:
    if not INTEGER.fullmatch(text) or abs(int(text)) > MAX_INTEGER:
        raise ValueError
    return int(text)


def _decimal(text: str) -> Decimal:
    if not NUMBER.fullmatch(text):
        raise ValueError
    return Decimal(text)


def _boolean(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError(text)
    return text == "true"


PARSERS: dict[InputKind, Callable[[str], Any]] = {
    InputKind.INTEGER: _integer,
    InputKind.NUMBER: lambda text: float(_decimal(text)),
    InputKind.DECIMAL: _decimal,
    InputKind.BOOLEAN: _boolean,
    InputKind.CHOICE: celery_json.decode,
    InputKind.UUID: uuid.UUID,
    InputKind.DATE: dt.date.fromisoformat,
    InputKind.DATETIME: dt.datetime.fromisoformat,
    InputKind.TIME: dt.time.fromisoformat,
}
