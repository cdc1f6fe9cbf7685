"""The stored arguments of a task: the JSON that was sent, or a text and why it is not exact."""

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from celery import Celery
from celery.utils.saferepr import saferepr

from tasks_admin.lib.celery_json import ENCODING_ERRORS, decode, encode
from tasks_admin.lib.conf import settings

#: The names of JSON as a content type.
JSON_TYPES = {"json", "application/json"}
#: Characters of a text that stands for arguments that are not stored exactly.
MAX_REPR_LENGTH = 1024
#: Characters in which Celery's reprs differ if a tuple became a list, or a number a key.
PUNCTUATION = re.compile(r"""[\s()\[\]{}'",:]+""")
#: Characters by which truncated reprs may differ, and the length below which none is truncated.
TRUNCATION_MARGIN, MIN_TRUNCATED_LENGTH = 64, 900


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """The texts of the two columns, and why they are not exact: an `InexactReason`, or ''."""

    args: str
    kwargs: str
    inexact_reason: str = ""


def encode_arguments(
    app: Celery, args: Any, kwargs: Any, argsrepr: Any, kwargsrepr: Any
) -> Arguments:
    """The arguments as they are stored; the reprs are those in the message's headers."""
    texts, reasons = [], []
    for value, sent_repr in ((list(args or []), argsrepr), (dict(kwargs or {}), kwargsrepr)):
        text, reason = _encode(app, value, sent_repr)
        texts.append(text)
        reasons.append(reason)
    return Arguments(args=texts[0], kwargs=texts[1], inexact_reason=reasons[0] or reasons[1])


def _encode(app: Celery, value: Any, sent_repr: Any) -> tuple[str, str]:
    """The text of one column, and why it is not exact.

    A repr that the publisher wrote itself is respected: its purpose is to hide the arguments.
    """
    if sent_repr and not _is_automatic(app, value, str(sent_repr)):
        return encode(str(sent_repr)[: settings.ARGUMENTS_MAX_BYTES]), "redacted"
    description = str(sent_repr or saferepr(value, MAX_REPR_LENGTH))
    try:
        text = encode(value)
    except ENCODING_ERRORS:
        return encode(description), "not_json"
    if len(text) > settings.ARGUMENTS_MAX_BYTES:
        return encode(description), "too_large"
    if not accepts_only_json(app) and not survives_json(value, text):
        return encode(description), "not_json"
    return text, ""


def accepts_only_json(app: Celery) -> bool:
    """Whether the workers accept only JSON; then the arguments that they received were JSON."""
    return set(app.conf.accept_content) <= JSON_TYPES


def survives_json(value: Any, text: str) -> bool:
    """Whether decoding `text` returns exactly `value`: no tuple as a list, no number as a key."""
    try:
        return _is_same(value, decode(text))
    except ENCODING_ERRORS:
        return False


def _is_same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, Mapping):
        names = zip(one, other, strict=False)
        return len(one) == len(other) and all(
            _is_same(a, b) and _is_same(one[a], other[b]) for a, b in names
        )
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return repr(one) == repr(other)  # NaN is not equal to itself, but is the same


def _is_automatic(app: Celery, value: Any, sent_repr: str) -> bool:
    """Whether Celery made this repr, in this or another process, and not the publisher itself."""
    max_length, levels = app.amqp.argsrepr_maxsize, app.conf.task_repr_maxlevels
    forms = [tuple(value), value] if isinstance(value, list) else [value]
    if any(sent_repr == saferepr(form, max_length, maxlevels=levels) for form in forms):
        return True
    # JSON turns tuples into lists; another program may write fewer levels, or JSON.
    candidates = [
        saferepr(form, max_length, maxlevels=depth) for form in forms for depth in (levels, 3)
    ]
    with contextlib.suppress(*ENCODING_ERRORS):
        candidates.append(encode(value))
    return any(_is_similar(sent_repr, candidate) for candidate in candidates)


def _is_similar(sent_repr: str, candidate: str) -> bool:
    """Whether two reprs are equal except for punctuation and the place of the truncation."""
    one, other = PUNCTUATION.sub("", sent_repr), PUNCTUATION.sub("", candidate)
    if one == other:
        return True
    common = min(len(one), len(other)) - TRUNCATION_MARGIN
    ends_truncated = sent_repr.rstrip(")]}'\",").endswith("...")
    truncated = ends_truncated and len(sent_repr) > MIN_TRUNCATED_LENGTH
    return truncated and common > 0 and one[:common] == other[:common]
