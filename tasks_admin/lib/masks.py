"""Masks: what must not be read on a page is replaced before it gets there.

Two ways in: `mask` for data, `mask_text` for text that somebody else formatted. Both read every
character once or twice, whatever it is, and mask what is masked already to itself.
"""

import functools
import json
import re
from collections.abc import Mapping
from typing import Any

from tasks_admin.lib.conf import settings

#: What is shown in place of a secret.
MASK = "••••••"
#: Data nested deeper than this is shown as a mask altogether.
DEEPEST = 50
#: Where a name that is written in one word may be parted: `apiKey`, `APIKey`.
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_GAP = re.compile(r"[^a-z0-9]+")
#: `scheme://user:password@`; a password may hold an @ of its own.
_URL = re.compile(
    r"([a-z][a-z0-9+.-]{0,20}://[^\s/:@'\"<>]{0,200}:)([^\s/'\"<>]{1,300})(?=@)", re.IGNORECASE
)
#: A private key in the armour that is written around it, with real or written line breaks.
_ARMOUR = re.compile(r"(-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----)(?:(?!-----)[\s\S]){1,20000}+")
#: `--password value`.
_FLAG = re.compile(r"(?<!\S)--(?P<name>[A-Za-z][\w-]{0,60})[ \t]{1,5}(?!-)")
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
#: The value that may follow: quoted (bytes too, and to the end of its line if it is not closed),
_VALUE = re.compile(
    r"(?P<kind>[bBrRuUfF]{0,2})(?P<quote>\\\"|\\'|\"|')"
    r"(?:(?!(?P=quote))(?:\\[^\n]|[^\n]))*+(?P=quote)?"
    r"|(?:(?:Bearer|Basic|Token)[ \t]+)?[^\s,;&'\"()\[\]{}\\]{1,5000}",
    re.IGNORECASE,
)
_REST = re.compile(r"[^\s,;&'\"()\[\]{}\\]{1,5000}")
#: in brackets, as `["a", "b"]`, `("a",)`, `SecretStr("a")`,
_OPENS = re.compile(r"[\w.]{0,80}+(?=[(\[{])")
_BRACKETS = re.compile(
    r"[(\[{)\]}]"
    r"|(?P<quote>\\\"|\\'|\"|')(?:(?!(?P=quote))(?:\\[^\n]|[^\n]))*+(?P=quote)?"
    r"|\n(?![ \t)\]}])|\n(?=[ \t]{0,9}File \")"
)
#: or all of the line, as headers have it.
_HEADER = re.compile(r"cookie|authorization", re.IGNORECASE)
_LINE = re.compile(r"[^\n'\"\\]{1,5000}")
_NOTHING = {"None", "null", '""', "''", "[]", "{}", "()"}
#: What calls its name `name` or `key`, and what it holds `value`.
_LABELS = ("name", "key")


def mask(value: Any) -> Any:
    """Return JSON-like data with every secret in it replaced, at any depth; never changes `value`.

    A secret is what stands under a name of `MASKED_NAMES`, the password in an address, and what
    looks like a signed token.
    """
    return _masked(value, ())


def mask_text(text: str) -> str:
    """Return text (a traceback, a repr, an exception's message) with every secret replaced."""
    text = _BEARER.sub(rf"\1\2{MASK}", _URL.sub(rf"\1{MASK}", text) if "://" in text else text)
    if "PRIVATE KEY" in text:
        text = _ARMOUR.sub(rf"\1{MASK}", text)
    return _TOKEN.sub(MASK, _paired(_paired(text, _FLAG), _NAME))


def mask_json(text: str) -> str:
    """Return stored JSON with every secret in it replaced; as it was written, if there is none."""
    try:
        data = json.loads(text)
        masked = mask(data)
    except (ValueError, RecursionError):
        return mask_text(text)
    return text if masked == data else json.dumps(masked, ensure_ascii=False)


def secret(name: object) -> bool:
    """Whether what stands under this name is masked: `db_password` and `apiKey`, not `tokens`."""
    return isinstance(name, str) and _secret(name[:200], tuple(settings.MASKED_NAMES))


def _masked(value: Any, within: tuple[int, ...]) -> Any:
    """Mask a value that is in containers with these identities: a cycle ends where it closes."""
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, bytes):
        text = value.decode(errors="replace")
        return value if (shown := mask_text(text)) == text else shown
    if not isinstance(value, (Mapping, list, tuple, set, frozenset)):
        return value
    if len(within) == DEEPEST or id(value) in within:
        return MASK
    within = (*within, id(value))
    if isinstance(value, Mapping):
        return _mapping(value, within)
    if value and all(map(_is_pair, value)):  # a header a pair
        return [[name, _under(name, item, within)] for name, item in value]
    return [_masked(item, within) for item in value]


def _mapping(value: Mapping[Any, Any], within: tuple[int, ...]) -> dict[Any, Any]:
    masked = {key: _under(key, item, within) for key, item in value.items()}
    if "value" in value and any(secret(value.get(label)) for label in _LABELS):
        masked["value"] = MASK
    return masked


def _under(name: object, value: Any, within: tuple[int, ...]) -> Any:
    """Mask what stands under a name."""
    return MASK if secret(name) and value not in (None, "") else _masked(value, within)


def _is_pair(item: object) -> bool:
    return isinstance(item, (list, tuple)) and len(item) == 2 and isinstance(item[0], str)


def _paired(text: str, names: re.Pattern[str]) -> str:
    """Replace what stands behind the name of a secret."""
    parts, done = [], 0
    for match in names.finditer(text):
        if match.start() < done or not secret(match["name"]):
            continue
        end, shown = _value(text, match)
        if text[match.end() : end] in _NOTHING or end == match.end():
            continue
        parts += [text[done : match.end()], shown]
        done = end
    return "".join([*parts, text[done:]])


def _value(text: str, name: re.Match[str]) -> tuple[int, str]:
    """Where the value behind a name ends, and what is shown for it."""
    start = name.end()
    if opens := _OPENS.match(text, start):
        return _joined(text, _closing(text, opens.end())), MASK
    if name[0].rstrip().endswith(":") and _HEADER.search(name["name"]):
        line = _LINE.match(text, start)
        return (line.end(), MASK) if line else _plain(text, start)
    return _plain(text, start)


def _plain(text: str, start: int) -> tuple[int, str]:
    value = _VALUE.match(text, start)
    if value is None:
        return start, ""
    quote = value["quote"] or ""
    return value.end(), f"{value['kind'] or ''}{quote}{MASK}{quote}"


def _joined(text: str, end: int) -> int:
    """Where that ends which follows a bracket without a gap, as in `(1)2[3]`."""
    while True:
        if rest := _REST.match(text, end):
            end = rest.end()
        elif opens := _OPENS.match(text, end):
            end = _closing(text, opens.end())
        else:
            return end


def _closing(text: str, start: int) -> int:
    """Where the bracket is closed that opens here, or else where another paragraph begins."""
    depth = 0
    for token in _BRACKETS.finditer(text, start):
        if token[0] == "\n":
            return token.start()
        if token[0] in "([{":
            depth += 1
        elif token[0] in ")]}":
            depth -= 1
            if depth == 0:
                return token.end()
    return len(text)


@functools.lru_cache(maxsize=10_000)
def _secret(name: str, names: tuple[str, ...]) -> bool:
    words = _GAP.sub("_", _HUMP.sub("_", name).lower()).strip("_")
    words = re.sub(r"\d+(?=_|$)", "", words)
    joined = f"_{words}_"
    return any(f"_{known}_" in joined or words.replace("_", "") == known for known in names)
