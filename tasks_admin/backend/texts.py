"""Texts that every database can store, of bounded length."""

from typing import Any

from tasks_admin.models.result_states import EXCEPTIONS

#: Characters of a traceback, or of an exception's message, that are stored.
MAX_TEXT_LENGTH = 64_000
#: A text that is cut at this length or above ends with its original length.
MIN_ANNOTATED_LENGTH = 1000


def storable_text(text: Any, max_length: int) -> str | None:
    """The text without NUL and lone surrogates, cut after `max_length` characters."""
    if text is None:
        return None
    safe = str(text).replace("\x00", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace").decode()
    if len(safe) <= max_length:
        return safe
    cut = safe[:max_length]
    return cut if max_length < MIN_ANNOTATED_LENGTH else f"{cut}\n… ({len(safe)} characters)"


def shorten_exception(result: Any, status: str) -> Any:
    """Cut the message of an exception. A return value belongs to the project, and is not cut."""
    if status not in EXCEPTIONS or not isinstance(result, dict):
        return result
    message = str(result.get("exc_message"))
    if len(message) <= MAX_TEXT_LENGTH:
        return result
    return result | {"exc_message": [storable_text(message, MAX_TEXT_LENGTH)]}
