"""Fingerprints: failures of one group have the same task, exception, location and message."""

import dataclasses
import hashlib
from typing import Any, Self

from tasks_admin.results.failures.locations import location_of
from tasks_admin.results.failures.messages import message_of, normalize_message

#: The message of the group that counts all failures beyond the maximum number of groups.
OTHER_MESSAGES = "…"
MAX_NAME_LENGTH = 255


@dataclasses.dataclass(frozen=True, kw_only=True)
class FailureFingerprint:
    """Task, exception class, location in the code and normalized message."""

    task: str
    exception: str
    location: str = ""
    message: str = ""

    @classmethod
    def of(cls, *, task: str, result: Any, traceback: str | None) -> Self:
        """The fingerprint of a failure, from its stored result and traceback."""
        return cls(
            task=task[:MAX_NAME_LENGTH],
            exception=exception_class(result)[:MAX_NAME_LENGTH],
            location=location_of(traceback or ""),
            message=normalize_message(message_of(result)),
        )

    @property
    def digest(self) -> str:
        """A SHA-256 of all four, in 64 hexadecimal digits."""
        parts = (self.task, self.exception, self.location, self.message)
        return hashlib.sha256("\x1f".join(parts).encode("utf-8", "replace")).hexdigest()

    def without_message(self) -> Self:
        """The fingerprint shared by all further failures of this task and exception."""
        return dataclasses.replace(self, location="", message=OTHER_MESSAGES)


def exception_class(result: Any) -> str:
    """The name of the exception's class, with its module unless it is built in."""
    if isinstance(result, dict):
        name, module = result.get("exc_type"), result.get("exc_module")
    else:  # a backend that pickles passes the exception itself
        name, module = type(result).__name__, type(result).__module__
    clean = str(name or "").replace("\x00", "").encode("utf-8", "replace").decode()
    return clean if not isinstance(module, str) or module == "builtins" else f"{module}.{clean}"
