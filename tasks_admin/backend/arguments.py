"""What is kept of a task's arguments: the JSON that was sent, or a text that says it is not."""

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from celery import Celery
from celery.utils.saferepr import saferepr

from tasks_admin.lib.celery_json import ENCODING_ERRORS, decode, encode
from tasks_admin.lib.conf import settings

#: How a message says that it is JSON.
JSON = {"json", "application/json"}
#: What Celery's reprs differ in when a tuple has become a list, or a number a key.
PUNCTUATION = re.compile(r"""[\s()\[\]{}'",:]+""")
#: Characters by which reprs may differ where they are cut, and how short none is cut.
CUT, UNCUT = 64, 900


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """The texts of the two columns, and why they are not exact: a code, or '' when they are."""

    args: str
    kwargs: str
    inexact_reason: str = ""


def kept(app: Celery, args: Any, kwargs: Any, argsrepr: Any, kwargsrepr: Any) -> Arguments:
    """Return what to store of arguments; the reprs are those in the message's headers."""
    texts, reasons = [], []
    for value, said in ((list(args or []), argsrepr), (dict(kwargs or {}), kwargsrepr)):
        text, reason = _kept(app, value, said)
        texts.append(text)
        reasons.append(reason)
    return Arguments(args=texts[0], kwargs=texts[1], inexact_reason=reasons[0] or reasons[1])


def _kept(app: Celery, value: Any, said: Any) -> tuple[str, str]:
    """The text of one column, and a code of what is wrong with it.

    A publisher's own repr is respected: it was written to keep the arguments out of sight.
    """
    if said and not _automatic(app, value, str(said)):
        return encode(str(said)[: settings.ARGUMENTS_MAX_BYTES]), "redacted"
    brief = str(said or saferepr(value, 1024))
    try:
        text = encode(value)
    except ENCODING_ERRORS:
        return encode(brief), "not_json"
    if len(text) > settings.ARGUMENTS_MAX_BYTES:
        return encode(brief), "too_large"
    if not only_json(app) and not same(value, text):
        return encode(brief), "not_json"
    return text, ""


def only_json(app: Celery) -> bool:
    """Whether workers take JSON alone; then what they ran was JSON."""
    return set(app.conf.accept_content) <= JSON


def same(value: Any, text: str) -> bool:
    """Whether JSON would bring the very same: no tuple as a list, no number as a name."""
    try:
        return _same(value, decode(text))
    except ENCODING_ERRORS:
        return False


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, Mapping):
        names = zip(one, other, strict=False)
        return len(one) == len(other) and all(
            _same(a, b) and _same(one[a], other[b]) for a, b in names
        )
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return repr(one) == repr(other)  # NaN is not equal to itself, but is the same


def _automatic(app: Celery, value: Any, said: str) -> bool:
    """Whether a repr is the one that Celery makes by itself, here or in another process."""
    longest, levels = app.amqp.argsrepr_maxsize, app.conf.task_repr_maxlevels
    forms = [tuple(value), value] if isinstance(value, list) else [value]
    if any(said == saferepr(form, longest, maxlevels=levels) for form in forms):
        return True
    # JSON forgets what was a tuple; another program may show fewer levels, or write JSON.
    made = [saferepr(form, longest, maxlevels=more) for form in forms for more in (levels, 3)]
    with contextlib.suppress(*ENCODING_ERRORS):
        made.append(encode(value))
    return any(_alike(said, text) for text in made)


def _alike(said: str, made: str) -> bool:
    """Whether two reprs show the same, but for punctuation and where they are cut."""
    one, other = PUNCTUATION.sub("", said), PUNCTUATION.sub("", made)
    if one == other:
        return True
    seen = min(len(one), len(other)) - CUT
    cut = said.rstrip(")]}'\",").endswith("...") and len(said) > UNCUT
    return cut and seen > 0 and one[:seen] == other[:seen]
