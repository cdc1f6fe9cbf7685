"""JSON as Celery sends it: dates, decimals, UUIDs and bytes keep their types.

The types are kombu's; spaces are ours, so that stored texts do not change with kombu's version.
"""

import json
from functools import partial
from typing import Any

from kombu.utils.json import JSONEncoder, loads

#: Between two items, and between a name and its value.
SEPARATORS = (", ", ": ")
#: What `encode` raises for a value that can't be sent as JSON.
ENCODING_ERRORS = (TypeError, ValueError, RecursionError)
#: What `decode` raises for a text that Celery did not write.
DECODING_ERRORS = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)


def encode(value: Any) -> str:
    """A value as JSON, in ASCII. Raises one of `ENCODING_ERRORS`."""
    return json.dumps(value, cls=JSONEncoder, separators=SEPARATORS)


def decode(text: str, *, strict: bool = False) -> Any:
    """The value of such a text. Raises one of `DECODING_ERRORS`.

    `strict` is for texts that people typed: it refuses NaN, infinity and duplicate names.
    """
    if not strict:
        return loads(text)
    value = loads(text, _loads=partial(json.loads, parse_constant=_refuse_constant))
    json.loads(text, object_pairs_hook=_refuse_duplicates)
    return value


def readable(value: Any, *, indent: int | None = None) -> str:
    """A value as JSON for people: characters of all scripts are not escaped.

    A text with half of a surrogate pair, which can't be sent to a browser, stays escaped.
    """
    text = json.dumps(value, cls=JSONEncoder, ensure_ascii=False, indent=indent)
    halved = any("\ud800" <= character <= "\udfff" for character in text)
    return json.dumps(value, cls=JSONEncoder, indent=indent) if halved else text


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a name occurs twice")
