"""Replies, tamed: whoever can write to the broker can answer in a worker's place."""

import math
from collections.abc import Mapping
from itertools import islice
from typing import Any

#: The longest text, list and mapping that is read of a reply, and how deep.
LONGEST, MOST, DEEPEST = 255, 1000, 4
#: No time, size or count is larger: each of these is a length of time that Python can tell.
LARGEST = 10**13


def sanitize_reply(told: Any, *, most: int = MOST, depth: int = DEEPEST) -> Any:
    """Cut what is too long, too many, too deep or too large; what is no number becomes 0.

    Whatever a page does with numbers, texts and lists, it can do with these, and soon.
    """
    if isinstance(told, bool) or told is None:
        return told
    if isinstance(told, str):
        return told[:LONGEST]
    if isinstance(told, int | float):
        return _number(told)
    if depth and isinstance(told, Mapping):
        return {
            str(name)[:LONGEST]: sanitize_reply(value, most=most, depth=depth - 1)
            for name, value in islice(told.items(), most)
        }
    if depth and isinstance(told, list | tuple):
        return [sanitize_reply(value, most=most, depth=depth - 1) for value in islice(told, most)]
    return None


def _number(told: float) -> float:
    if isinstance(told, float) and math.isnan(told):
        return 0
    return max(-LARGEST, min(LARGEST, told))
