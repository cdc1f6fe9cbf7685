"""Sanitizing replies: any program that can write to the broker can reply in a worker's name."""

import math
from collections.abc import Mapping
from itertools import islice
from typing import Any

#: Characters of a text, items of a list or mapping, and levels of a reply that are read.
MAX_LENGTH, MAX_ITEMS, MAX_DEPTH = 255, 1000, 4
#: No time, size or count is larger: Python can represent each of these as a `timedelta`.
MAX_NUMBER = 10**13


def sanitize_reply(reply: Any, *, max_items: int = MAX_ITEMS, depth: int = MAX_DEPTH) -> Any:
    """Cut long texts, long lists, deep values and large numbers; NaN becomes 0.

    A page can format, add or iterate over the result without an error, in bounded time.
    """
    if isinstance(reply, bool) or reply is None:
        return reply
    if isinstance(reply, str):
        return reply[:MAX_LENGTH]
    if isinstance(reply, int | float):
        return _bounded(reply)
    if depth and isinstance(reply, Mapping):
        return {
            str(name)[:MAX_LENGTH]: sanitize_reply(value, max_items=max_items, depth=depth - 1)
            for name, value in islice(reply.items(), max_items)
        }
    if depth and isinstance(reply, list | tuple):
        return [
            sanitize_reply(value, max_items=max_items, depth=depth - 1)
            for value in islice(reply, max_items)
        ]
    return None


def _bounded(number: float) -> float:
    if isinstance(number, float) and math.isnan(number):
        return 0
    return max(-MAX_NUMBER, min(MAX_NUMBER, number))
