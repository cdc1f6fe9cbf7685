"""Texts that fit: what a database would refuse, or nobody would read, is tamed."""

from typing import Any

from tasks_admin.models.result_states import EXCEPTIONS

#: Characters of an exception's words or a traceback that are kept.
LONGEST = 64_000


def clipped(text: Any, longest: int) -> str | None:
    """Make text fit to be stored: no NUL, no lone surrogates, no more than `longest` characters."""
    if text is None:
        return None
    tame = str(text).replace("\x00", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace").decode()
    if len(tame) <= longest:
        return tame
    return tame[:longest] if longest < 1000 else f"{tame[:longest]}\n… ({len(tame)} characters)"


def brief(result: Any, status: str) -> Any:
    """Shorten what an exception said; what a task returned is the project's, and stays whole."""
    if status not in EXCEPTIONS or not isinstance(result, dict):
        return result
    if len(said := str(result.get("exc_message"))) <= LONGEST:
        return result
    return result | {"exc_message": [clipped(said, LONGEST)]}
