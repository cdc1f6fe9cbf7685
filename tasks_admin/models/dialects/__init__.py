"""The SQL that differs between databases: one class for each, with one contract.

To support another database, copy `postgresql.py`, and add a row to `DIALECTS`.
"""

from typing import Any

from django.core.exceptions import ImproperlyConfigured

from tasks_admin.models.dialects.contract import (
    ARGUMENTS_PREFIX_LENGTH,
    MAX_QUOTED_LENGTH,
    Dialect,
)
from tasks_admin.models.dialects.postgresql import PostgreSQL
from tasks_admin.models.dialects.sqlite import SQLite

__all__ = ["ARGUMENTS_PREFIX_LENGTH", "DIALECTS", "MAX_QUOTED_LENGTH", "Dialect", "dialect_of"]

#: By the vendor, as Django names it.
DIALECTS: dict[str, Dialect] = {"postgresql": PostgreSQL(), "sqlite": SQLite()}


def dialect_of(connection: Any) -> Dialect:
    """The dialect of a database connection. Raises `ImproperlyConfigured` for another database."""
    try:
        return DIALECTS[connection.vendor]
    except KeyError:
        raise ImproperlyConfigured(
            f"tasks_admin does not support the database {connection.vendor!r} of the alias "
            f"{connection.alias!r}: use one of {', '.join(sorted(DIALECTS))}."
        ) from None
