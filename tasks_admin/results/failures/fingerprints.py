"""Kinds of failures: what two failures have in common when they have one cause."""

import dataclasses
import hashlib
from typing import Any, Self

from tasks_admin.results.failures.locations import place
from tasks_admin.results.failures.messages import normalised, said

#: What stands for messages that are too many to be told apart.
OTHERS = "…"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind:
    """Task, exception, place in the code, and the message without what differs."""

    task: str
    exception: str
    place: str = ""
    message: str = ""

    @classmethod
    def of(cls, *, task: str, result: Any, traceback: str | None) -> Self:
        """Make out the kind of a failure from what is stored of it: texts."""
        return cls(
            task=task[:255],
            exception=exception_of(result)[:255],
            place=place(traceback or ""),
            message=normalised(said(result)),
        )

    @property
    def digest(self) -> str:
        """Names it, in 64 characters."""
        parts = (self.task, self.exception, self.place, self.message)
        return hashlib.sha256("\x1f".join(parts).encode("utf-8", "replace")).hexdigest()

    def others(self) -> Self:
        """The kind of all failures of this task and exception that are no longer told apart."""
        return dataclasses.replace(self, place="", message=OTHERS)


def exception_of(result: Any) -> str:
    """The class, with its module where that says something."""
    if isinstance(result, dict):
        kind, where = result.get("exc_type"), result.get("exc_module")
    else:  # a backend that pickles hands us the exception itself
        kind, where = type(result).__name__, type(result).__module__
    name = str(kind or "").replace("\x00", "").encode("utf-8", "replace").decode()
    return name if not isinstance(where, str) or where == "builtins" else f"{where}.{name}"
