"""Lock keys: what only one open target may hold, enforced by a unique constraint."""

from enum import StrEnum
from typing import Any

from django.db.models import CharField, Value
from django.db.models.functions import Cast, Concat


class LockKind(StrEnum):
    """What a key locks."""

    #: A user, while a reset email of theirs is open.
    USER = "user"
    #: A result, for good once a retry of it took effect.
    RESULT = "result"

    @property
    def prefix(self) -> str:
        """The beginning of every key of this kind."""
        return f"{self.value}:"


def lock_key(kind: LockKind, subject: object) -> str:
    """The key that locks one user or one result."""
    return f"{kind.prefix}{subject}"


def lock_key_expression(kind: LockKind, subject: Any) -> Concat:
    """The same key in SQL; `subject` is an expression or a value."""
    return Concat(Value(kind.prefix), Cast(subject, CharField()), output_field=CharField())
