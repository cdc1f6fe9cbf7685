"""SQLite."""

from datetime import datetime, timedelta
from typing import Any

from tasks_admin.models.dialects.contract import (
    ARGUMENTS_PREFIX_LENGTH,
    MAX_QUOTED_LENGTH,
    Dialect,
)


class SQLite(Dialect):
    """The SQL of SQLite. It runs in this process: no reply is lost, and the clock is the same."""

    now = "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW')"
    current_hour = "STRFTIME('%%Y-%%m-%%d %%H:00:00', 'NOW')"

    def seconds_ago(self, seconds: float, *, now: datetime) -> tuple[str, list[Any]]:
        """By this machine's clock, with as many digits as Django stores.

        SQLite's own functions write three: a task that started in the millisecond in which it was
        queued would have started before.
        """
        moment = (now - timedelta(seconds=seconds)).replace(tzinfo=None)
        return "%s", [moment.isoformat(" ", "microseconds")]

    def quoted_text(self, column: str, start: int) -> str:
        """Constants are written out: an index is used only for the very same text."""
        text = f"SUBSTR({column}, {start}, {MAX_QUOTED_LENGTH})"
        return f"SUBSTR({text}, 1, INSTR({text} || '\"', '\"') - 1)"

    def prefix_lookup(self, field: str, prefix: str) -> dict[str, str]:
        """A range: LIKE ignores case here, and so uses no index."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        return {f"{field}__gte": prefix, f"{field}__lt": end}

    def result_indexes(self, *, queue: str, exception: str) -> dict[str, str]:
        """See `Dialect.result_indexes`. SQLite's indexes end with the key by themselves."""
        return {
            "failed": "(task_name, status)",
            "queue": f"({queue})",
            "raised": f"({exception})",
            "subject": f"(task_name, SUBSTR(task_args, 1, {ARGUMENTS_PREFIX_LENGTH}))",
        }

    def create_index(self, editor: Any, *, name: str, table: str, columns: str) -> None:
        """SQLite has one writer at a time: an index can't be created beside it."""
        editor.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {table} {columns}")

    def drop_index(self, editor: Any, *, name: str, table: str) -> None:
        """See `Dialect.drop_index`."""
        editor.execute(f"DROP INDEX IF EXISTS {name}")
