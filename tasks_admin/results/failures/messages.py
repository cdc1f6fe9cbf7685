"""Messages of exceptions, normalized: without the parts that differ between failures.

Only text is processed: no exception class is imported, and no exception is built.
"""

import re
from typing import Any

from tasks_admin.lib import masks

#: Characters of a message in which secrets are masked, that are then normalized, and that are kept.
MAX_MASKED_LENGTH, MAX_READ_LENGTH, MAX_LENGTH = 16_000, 2_000, 500
#: Exceptions whose only argument is a value, not a sentence.
_VALUE_EXCEPTIONS = {"KeyError", "DoesNotExist", "NotRegistered"}
_DAY = r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6}"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}"
#: Patterns and their placeholders, in order: a part of something larger comes after it. None looks
#: back further than a word, so that the time of each grows linearly with the text.
_PLACEHOLDERS = [
    (r"(?i)(?<![0-9a-f-])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?:-\d+)*", "<uuid>"),
    (r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,9}", "<address>"),
    (r"(?i)\b([a-z][a-z0-9+.-]{0,20}://)(?:[^\s/@]{1,300}@)?([\w.:•-]{0,255})[^\s'\"<>]*(?:<path>)?",
     r"\1\2<path>"),
    (r"(?<!\w)([\"'`])(?:\\.|(?!\1)[^\\\n]){0,1000}\1(?!\w)", "<text>"),
    (r"(?<!\w)[‘“«][^’”»\n]{0,1000}[’”»](?!\w)", "<text>"),
    (r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?)?(?:Z|[+-]\d\d:?\d\d)?(?!\d)",
     "<date>"),
    (rf"(?:{_DAY},? )?\b(?:\d{{1,2}} {_MONTH}|{_MONTH} \d{{1,2}}),? \d{{4}}\b", "<date>"),
    (r"\b\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?!\d)", "<date>"),
    (r"(?<![\w/>])(?:[A-Za-z]:\\|\\\\)[\w.@%+~ -]{1,100}(?:\\[\w.@%+~ -]{1,100}){0,50}", "<path>"),
    (r"(?<![\w/<>])(?:~|\.{1,2})?/[\w.@%+~:=,-]{1,255}(?:/[\w.@%+~:=,-]{0,255}){0,50}", "<path>"),
    (r"(?<![\w/<.])[\w.@%+~-]{1,255}(?:/[\w.@%+~-]{1,255}){2,50}/?", "<path>"),
    (r"(?i)\b0x[0-9a-f]+", "<hex>"),
    (r"(?i)(?<![0-9a-z])(?=[a-f]{0,200}\d)(?=\d{0,200}[a-f])[0-9a-f]{8,}(?![0-9a-z])", "<hex>"),
    (r"(?<![\w<])(?=[A-Za-z_+-]{0,200}\d)[\w+-]{24,}={0,2}(?!\w)|(?<![\w<])[\w+-]{50,}={0,2}",
     "<token>"),
    (r"(?<![\w.])[+-]?\d+(?:[.,_:]\d+)*(?:[eE][+-]?\d+)?|\d+", "<number>"),
]  # fmt: skip
_COMPILED = [(re.compile(pattern), placeholder) for pattern, placeholder in _PLACEHOLDERS]
#: A collection of nothing but placeholders and constants: its length differs, too.
_COLLECTION = re.compile(
    r"[\[{(](?:[\s,:]|b?<\w{3,7}>|None|True|False|null|true|false){1,1000}[\]})]"
)
MAX_NESTING = 4
#: The same placeholder several times in a row.
_REPEATED = re.compile(r"(<\w{3,7}>)(?:[,;|]? ?\1)+")


def message_of(result: Any) -> str:
    """The message of an exception, from the form that Celery stores: `{"exc_message": […], …}`."""
    if not isinstance(result, dict):
        return _sanitize(str(result or ""))
    arguments = result.get("exc_message")
    if not isinstance(arguments, (list, tuple)):
        return _sanitize(str(arguments or ""))
    if str(result.get("exc_type")) in _VALUE_EXCEPTIONS and len(arguments) == 1:
        return _sanitize(repr(arguments[0]))
    return _sanitize(", ".join(map(_format_argument, range(len(arguments)), arguments)))


def normalize_message(text: str) -> str:
    """Replace the varying parts by placeholders, and mask secrets; at most `MAX_LENGTH` long."""
    text = masks.mask_text(text[:MAX_MASKED_LENGTH])[:MAX_READ_LENGTH]
    for pattern, placeholder in _COMPILED:
        text = pattern.sub(placeholder, text)
    for _level in range(MAX_NESTING):
        text, before = _COLLECTION.sub("<data>", text), text
        if text == before:
            break
    text = _REPEATED.sub(r"\1…", " ".join(text.split()))
    return text if len(text) <= MAX_LENGTH else f"{text[: MAX_LENGTH - 1]}…"


def _format_argument(position: int, value: Any) -> str:
    """An argument of an exception: sentences as they are, other values as their `repr`."""
    if isinstance(value, str) and (position == 0 or " " in value.strip()):
        return value
    return repr(value)


def _sanitize(text: str) -> str:
    """Text that any database accepts: no NUL, no lone surrogates, of limited length."""
    return text[:MAX_MASKED_LENGTH].replace("\x00", "").encode("utf-8", "replace").decode()
