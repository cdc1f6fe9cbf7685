"""Masking secrets in data and in text, before they reach a page, a log or a file.

`mask` is for data, `mask_text` for text that other code formatted. Both take linear time for any
input, and leave masked input unchanged.
"""

import functools
import json
import re
from collections.abc import Mapping
from typing import Any

from tasks_admin.lib.conf import settings

#: Replaces a secret.
MASK = "••••••"
#: More deeply nested data is masked as a whole.
MAX_DEPTH = 50
#: The word boundaries of a name in camel case: `apiKey`, `APIKey`.
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_GAP = re.compile(r"[^a-z0-9]+")
#: `scheme://user:password@`; a password may contain an @.
_URL = re.compile(
    r"([a-z][a-z0-9+.-]{0,20}://[^\s/:@'\"<>]{0,200}:)([^\s/'\"<>]{1,300})(?=@)", re.IGNORECASE
)
#: A private key in PEM format, with real or escaped line breaks.
_PEM = re.compile(r"(-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----)(?:(?!-----)[\s\S]){1,20000}+")
#: `--password value`.
_FLAG = re.compile(r"(?<!\S)--(?P<name>[A-Za-z][\w-]{0,60})[ \t]{1,5}(?!-)")
#: A signed token: two or three parts in base64, as JWT, itsdangerous and Django write them.
_TOKEN = re.compile(
    r"(?<![\w.:/-])(?=[\w:.-]{0,1000}\d)[A-Za-z0-9_-]{8,4000}"
    r"(?:\.[A-Za-z0-9_-]{5,4000}\.[A-Za-z0-9_-]{20,4000}|:[A-Za-z0-9_-]{6}:[A-Za-z0-9_-]{27,90})"
    r"(?![\w.-])"
)
_BEARER = re.compile(r"\b(Bearer|Basic|Token)([ \t]{1,5})([\w.~+/=:-]{8,4000})", re.IGNORECASE)
#: The name in `name = value`, `"name": value`, `name=value`.
_NAME = re.compile(
    r"(?<![\w.-])(?P<name>[A-Za-z_][\w.-]{0,80})\\?['\"]?\]?[ \t]{0,5}[:=][ \t]{0,5}"
)
#: The value after it: quoted (bytes too; up to the end of the line if there is no end quote),
_VALUE = re.compile(
    r"(?P<kind>[bBrRuUfF]{0,2})(?P<quote>\\\"|\\'|\"|')"
    r"(?:(?!(?P=quote))(?:\\[^\n]|[^\n]))*+(?P=quote)?"
    r"|(?:(?:Bearer|Basic|Token)[ \t]+)?[^\s,;&'\"()\[\]{}\\]{1,5000}",
    re.IGNORECASE,
)
_REST = re.compile(r"[^\s,;&'\"()\[\]{}\\]{1,5000}")
#: in brackets, as `["a", "b"]`, `("a",)`, `SecretStr("a")`,
_OPENING = re.compile(r"[\w.]{0,80}+(?=[(\[{])")
_BRACKETS = re.compile(
    r"[(\[{)\]}]"
    r"|(?P<quote>\\\"|\\'|\"|')(?:(?!(?P=quote))(?:\\[^\n]|[^\n]))*+(?P=quote)?"
    r"|\n(?![ \t)\]}])|\n(?=[ \t]{0,9}File \")"
)
#: or the rest of the line, as in HTTP headers.
_HEADER = re.compile(r"cookie|authorization", re.IGNORECASE)
_LINE = re.compile(r"[^\n'\"\\]{1,5000}")
_EMPTY = {"None", "null", '""', "''", "[]", "{}", "()"}
#: The keys of the name in a mapping whose value is under `value`.
_NAME_KEYS = ("name", "key")


def mask(value: Any) -> Any:
    """Return JSON-like data with every secret replaced, at any depth; `value` is not changed.

    Secrets are the values under the names in `MASKED_NAMES`, passwords in URLs, and texts that
    look like signed tokens.
    """
    return _masked(value, ())


def mask_text(text: str) -> str:
    """Return text (a traceback, a repr, an exception's message) with every secret replaced."""
    text = _BEARER.sub(rf"\1\2{MASK}", _URL.sub(rf"\1{MASK}", text) if "://" in text else text)
    if "PRIVATE KEY" in text:
        text = _PEM.sub(rf"\1{MASK}", text)
    text = _TOKEN.sub(MASK, _paired(_paired(text, _FLAG), _NAME))
    # A token behind a key's end has become a mask beside the key's: masked again, they are one.
    return _PEM.sub(rf"\1{MASK}", text) if "PRIVATE KEY" in text else text


def mask_json(text: str) -> str:
    """Return stored JSON with every secret replaced; the same text if it contains none."""
    try:
        data = json.loads(text)
        masked = mask(data)
    except (ValueError, RecursionError):
        return mask_text(text)
    return text if masked == data else json.dumps(masked, ensure_ascii=False)


def is_secret_name(name: object) -> bool:
    """Whether a value under this name is masked: `db_password` and `apiKey`, not `tokens`."""
    return isinstance(name, str) and _is_secret_name(name[:200], tuple(settings.MASKED_NAMES))


def _masked(value: Any, within: tuple[int, ...]) -> Any:
    """Mask a value inside of the containers with these ids: a cycle ends where it closes."""
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, bytes):
        text = value.decode(errors="replace")
        return value if (shown := mask_text(text)) == text else shown
    if not isinstance(value, (Mapping, list, tuple, set, frozenset)):
        return value
    if len(within) == MAX_DEPTH or id(value) in within:
        return MASK
    within = (*within, id(value))
    if isinstance(value, Mapping):
        return _mapping(value, within)
    if value and all(map(_is_pair, value)):  # pairs, as HTTP headers
        return [[name, _under(name, item, within)] for name, item in value]
    return [_masked(item, within) for item in value]


def _mapping(value: Mapping[Any, Any], within: tuple[int, ...]) -> dict[Any, Any]:
    masked = {key: _under(key, item, within) for key, item in value.items()}
    if "value" in value and any(is_secret_name(value.get(key)) for key in _NAME_KEYS):
        masked["value"] = MASK
    return masked


def _under(name: object, value: Any, within: tuple[int, ...]) -> Any:
    """Mask the value under a name."""
    return MASK if is_secret_name(name) and value not in (None, "") else _masked(value, within)


def _is_pair(item: object) -> bool:
    return isinstance(item, (list, tuple)) and len(item) == 2 and isinstance(item[0], str)


def _paired(text: str, names: re.Pattern[str]) -> str:
    """Replace the values after the names of secrets."""
    parts, done = [], 0
    for match in names.finditer(text):
        if match.start() < done or not is_secret_name(match["name"]):
            continue
        end, shown = _value(text, match)
        if text[match.end() : end] in _EMPTY or end == match.end():
            continue
        parts += [text[done : match.end()], shown]
        done = end
    return "".join([*parts, text[done:]])


def _value(text: str, name: re.Match[str]) -> tuple[int, str]:
    """The end of the value after a name, and its replacement."""
    start = name.end()
    if opens := _OPENING.match(text, start):
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
    """The end of the text that follows a bracket without a space, as in `(1)2[3]`."""
    while True:
        if rest := _REST.match(text, end):
            end = rest.end()
        elif opens := _OPENING.match(text, end):
            end = _closing(text, opens.end())
        else:
            return end


def _closing(text: str, start: int) -> int:
    """The end of the bracket that opens here, or the start of the next paragraph."""
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
def _is_secret_name(name: str, names: tuple[str, ...]) -> bool:
    words = _GAP.sub("_", _CAMEL.sub("_", name).lower()).strip("_")
    words = re.sub(r"\d+(?=_|$)", "", words)
    joined = f"_{words}_"
    return any(f"_{known}_" in joined or words.replace("_", "") == known for known in names)
