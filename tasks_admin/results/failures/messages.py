"""Messages: what an exception said, without what differs from one failure to the next.

All is done to text: nothing that a task raised is imported or made again.
"""

import re
from typing import Any

from tasks_admin.lib import masks

#: Characters that are looked at for secrets, that are read then, and that are kept.
MASKED, READ, KEPT = 16_000, 2_000, 500
#: Exceptions whose only argument is a value, not a sentence.
_BARE = {"KeyError", "DoesNotExist", "NotRegistered"}
_DAY = r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6}"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}"
#: In this order: what is part of something larger comes after it. None looks back further than
#: a word, so that each costs a time that grows with the text and no faster.
_VARIES = [
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
_COMPILED = [(re.compile(pattern), to) for pattern, to in _VARIES]
#: Data that holds nothing but such words: its length differs too.
_DATA = re.compile(r"[\[{(](?:[\s,:]|b?<\w{3,7}>|None|True|False|null|true|false){1,1000}[\]})]")
#: The same word again and again.
_AGAIN = re.compile(r"(<\w{3,7}>)(?:[,;|]? ?\1)+")


def said(result: Any) -> str:
    """What an exception said, out of what Celery stores: `{"exc_message": […], …}`."""
    if not isinstance(result, dict):
        return _tame(str(result or ""))
    arguments = result.get("exc_message")
    if not isinstance(arguments, (list, tuple)):
        return _tame(str(arguments or ""))
    if str(result.get("exc_type")) in _BARE and len(arguments) == 1:
        return _tame(repr(arguments[0]))
    return _tame(", ".join(map(_word, range(len(arguments)), arguments)))


def normalised(text: str) -> str:
    """Return what alike messages have in common, without secrets, in `KEPT` characters at most."""
    text = masks.mask_text(text[:MASKED])[:READ]
    for pattern, to in _COMPILED:
        text = pattern.sub(to, text)
    for _depth in range(4):
        text, before = _DATA.sub("<data>", text), text
        if text == before:
            break
    text = _AGAIN.sub(r"\1…", " ".join(text.split()))
    return text if len(text) <= KEPT else f"{text[: KEPT - 1]}…"


def _word(number: int, value: Any) -> str:
    """An argument of an exception: sentences are kept, values beside them are values."""
    if isinstance(value, str) and (number == 0 or " " in value.strip()):
        return value
    return repr(value)


def _tame(text: str) -> str:
    """Make it fit for any database: no NUL, no lone surrogates."""
    return text[:MASKED].replace("\x00", "").encode("utf-8", "replace").decode()
