"""Masks: what must not be read on a page is replaced before it gets there.

Two ways in: `mask` for data, `mask_text` for text that somebody else formatted. Both read every
character once or twice, whatever it is, and mask what is masked already to itself.
"""

import functools
import re
from collections.abc import Mapping
from typing import Any

from tasks_admin.conf import settings

#: What is shown in place of a secret.
MASK = "••••••"
#: Data nested deeper than this is shown as a mask altogether.
DEEPEST = 50
#: Where a name that is written in one word may be parted: `apiKey`, `APIKey`.
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_GAP = re.compile(r"[^a-z0-9]+")
#: `scheme://user:password@`.
_URL = re.compile(
    r"([a-z][a-z0-9+.-]{0,20}://[^\s/:@'\"<>]{0,200}:)([^\s/@'\"<>]{1,300})(?=@)", re.IGNORECASE
)
#: A signed token: three parts of base64 or two, as JWT, itsdangerous and Django write them.
_TOKEN = re.compile(
    r"(?<![\w.:/-])(?=[\w:.-]{0,1000}\d)[A-Za-z0-9_-]{8,4000}"
    r"(?:\.[A-Za-z0-9_-]{5,4000}\.[A-Za-z0-9_-]{20,4000}|:[A-Za-z0-9_-]{6}:[A-Za-z0-9_-]{27,90})"
    r"(?![\w.-])"
)
_BEARER = re.compile(r"\b(Bearer|Basic|Token)([ \t]{1,5})([\w.~+/=:-]{8,4000})", re.IGNORECASE)
#: The beginning of `name = value`, `"name": value`, `name=value`.
_NAME = re.compile(
    r"(?<![\w.-])(?P<name>[A-Za-z_][\w.-]{0,80})\\?['\"]?\]?[ \t]{0,5}[:=][ \t]{0,5}"
)
#: The value that may follow.
_VALUE = re.compile(
    r"(?P<quote>\\\"|\\'|\"|')(?:(?!(?P=quote))(?:\\[^\n]|[^\n])){0,5000}(?P=quote)?"
    r"|(?:(?:Bearer|Basic|Token)[ \t]+)?[^\s,;&'\"()\[\]{}\\]{1,5000}",
    re.IGNORECASE,
)
_NOTHING = {"None", "null", '""', "''"}


def mask(value: Any) -> Any:
    """Return JSON-like data with every secret in it replaced, at any depth; never changes `value`.

    A secret is what stands under a name of `MASKED_NAMES`, the password in an address, and what
    looks like a signed token.
    """
    return _masked(value, DEEPEST)


def mask_text(text: str) -> str:
    """Return text (a traceback, a repr, an exception's message) with every secret replaced."""
    return _loose(_paired(text))


def secret(name: object) -> bool:
    """Whether what stands under this name is masked: `db_password` and `apiKey`, not `tokens`."""
    return isinstance(name, str) and _secret(name[:200], tuple(settings.MASKED_NAMES))


def _masked(value: Any, depth: int) -> Any:
    if depth == 0:
        return MASK
    if isinstance(value, str):
        return _loose(value)
    if isinstance(value, Mapping):
        return {
            key: MASK if secret(key) and item not in (None, "") else _masked(item, depth - 1)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_masked(item, depth - 1) for item in value]
    return value


def _loose(text: str) -> str:
    """Replace what is a secret wherever it stands."""
    if "://" in text:
        text = _URL.sub(rf"\1{MASK}", text)
        text = _paired(text)
    text = _BEARER.sub(rf"\1\2{MASK}", text)
    return _TOKEN.sub(MASK, text)


def _paired(text: str) -> str:
    """Replace what stands behind the name of a secret."""
    parts, done = [], 0
    for match in _NAME.finditer(text):
        if match.start() < done or not secret(match["name"]):
            continue
        value = _VALUE.match(text, match.end())
        if value is None or value[0] in _NOTHING:
            continue
        quote = value["quote"] or ""
        parts += [text[done : match.end()], quote, MASK, quote]
        done = value.end()
    return "".join([*parts, text[done:]])


@functools.lru_cache(maxsize=10_000)
def _secret(name: str, names: tuple[str, ...]) -> bool:
    words = _GAP.sub("_", _HUMP.sub("_", name).lower()).strip("_")
    words = re.sub(r"\d+(?=_|$)", "", words)
    joined = f"_{words}_"
    return any(f"_{known}_" in joined or words.replace("_", "") == known for known in names)
