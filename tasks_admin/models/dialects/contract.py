"""The contract of a dialect: the SQL that this app needs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import Any

#: Characters of the value that `quoted_text` reads.
MAX_QUOTED_LENGTH = 200
#: Characters of the arguments that an index contains: all of them, for a task that takes one key.
ARGUMENTS_PREFIX_LENGTH = 40


class Dialect(ABC):
    """The SQL of one database. Fragments are for `cursor.execute`: a percent sign is written twice.

    A statement names its parameters by `%s`; a method that adds parameters returns them with it.
    Clauses that have a default here are the same in PostgreSQL and SQLite.
    """

    #: An expression: the time at which the statement started, as Django's `Now()` stores it.
    now: str
    #: An expression: the beginning of the current hour in UTC, stored in the same way.
    current_hour: str
    #: A condition that is always true, with which the transaction commits without waiting for the
    #: disk. Valid outside of a transaction block. Empty: the database has none.
    asynchronous_commit: str = ""

    @abstractmethod
    def seconds_ago(self, seconds: float, *, now: datetime) -> tuple[str, list[Any]]:
        """An expression and its parameters: the time of `now` minus `seconds`.

        By the database's clock, where it is another than this machine's. Else by `now`, which the
        caller reads once: two times of one statement are then in order.
        """

    @abstractmethod
    def quoted_text(self, column: str, start: int) -> str:
        """An expression: the text of a column from character `start` to the next quotation mark.

        Reads at most `MAX_QUOTED_LENGTH` characters. An index can contain it.
        """

    @abstractmethod
    def prefix_lookup(self, field: str, prefix: str) -> dict[str, str]:
        """The lookups for `QuerySet.filter` that find an ASCII prefix by the index of the field."""

    def do_nothing(self, key: str) -> str:
        """The end of an INSERT that keeps a row with the same `key` (columns, with commas)."""
        return f" ON CONFLICT ({key}) DO NOTHING"

    def do_update(self, key: str, assignments: Mapping[str, str], *, where: str = "") -> str:
        """The end of an INSERT that updates a row with the same `key`, if `where` holds.

        `assignments`: an expression by column. An unqualified name in an expression would be
        ambiguous: write `table.column` for the stored value, and `new_value` for the other.
        """
        changes = ", ".join(f"{column} = {value}" for column, value in assignments.items())
        condition = f" WHERE {where}" if where else ""
        return f" ON CONFLICT ({key}) DO UPDATE SET {changes}{condition}"

    def new_value(self, column: str) -> str:
        """In an assignment of `do_update`: the value that the INSERT would have stored."""
        return f"excluded.{column}"

    def transaction_id(self, cursor: Any) -> int | None:
        """The id of the current transaction; None where a commit can't lose its reply."""
        return None

    def was_committed(self, cursor: Any, transaction_id: int) -> bool:
        """Whether the transaction with an id that `transaction_id` returned was committed."""
        raise NotImplementedError

    @abstractmethod
    def result_indexes(self, *, queue: str, exception: str) -> dict[str, str]:
        """The indexes of the table of results: by name, what follows the table in CREATE INDEX.

        `queue` and `exception` are expressions of `quoted_text`.
        """

    @abstractmethod
    def create_index(self, editor: Any, *, name: str, table: str, columns: str) -> None:
        """Create an index unless it exists, without locking writers; replace an unfinished one.

        `editor` is a schema editor outside of a transaction.
        """

    @abstractmethod
    def drop_index(self, editor: Any, *, name: str, table: str) -> None:
        """Drop an index if it exists, without locking writers."""
