"""PostgreSQL."""

from datetime import datetime
from typing import Any

from tasks_admin.models.dialects.contract import (
    ARGUMENTS_PREFIX_LENGTH,
    MAX_QUOTED_LENGTH,
    Dialect,
)


class PostgreSQL(Dialect):
    """The SQL of PostgreSQL."""

    now = "STATEMENT_TIMESTAMP()"
    current_hour = "DATE_TRUNC('hour', STATEMENT_TIMESTAMP(), 'UTC')"
    asynchronous_commit = "set_config('synchronous_commit', 'off', true) = 'off'"

    def seconds_ago(self, seconds: float, *, now: datetime) -> tuple[str, list[Any]]:
        """By the server's clock: those of the workers may disagree."""
        return f"{self.now} - %s * INTERVAL '1 second'", [seconds]

    def quoted_text(self, column: str, start: int) -> str:
        """See `Dialect.quoted_text`."""
        return f"SPLIT_PART(SUBSTR({column}, {start}, {MAX_QUOTED_LENGTH}), '\"', 1)"

    def prefix_lookup(self, field: str, prefix: str) -> dict[str, str]:
        """Django creates an index for LIKE beside that of a unique text."""
        return {f"{field}__startswith": prefix}

    def transaction_id(self, cursor: Any) -> int | None:
        """See `Dialect.transaction_id`."""
        cursor.execute("SELECT txid_current()")
        return int(cursor.fetchone()[0])

    def was_committed(self, cursor: Any, transaction_id: int) -> bool:
        """See `Dialect.was_committed`."""
        cursor.execute("SELECT txid_status(%s)", [transaction_id])
        return bool(cursor.fetchone()[0] == "committed")

    def result_indexes(self, *, queue: str, exception: str) -> dict[str, str]:
        """See `Dialect.result_indexes`. They end with the key, in whose order results are read."""
        return {
            "status": "(status, id)",
            "task": "(task_name, id)",
            "worker": "(worker, id)",
            "queue": f"({queue}, id)",
            "raised": f"({exception}, id) WHERE status = 'FAILURE'",
            "failed": "(task_name, id) WHERE status = 'FAILURE'",
            "subject": f"(SUBSTR(task_args, 1, {ARGUMENTS_PREFIX_LENGTH}), id) "
            "WHERE task_name = 'tasks_admin.send_reset_email'",
        }

    def create_index(self, editor: Any, *, name: str, table: str, columns: str) -> None:
        """A build that was interrupted leaves an invalid index behind: it is dropped first."""
        with editor.connection.cursor() as cursor:
            cursor.execute(
                "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(%s) AND NOT indisvalid",
                [name],
            )
            invalid = cursor.fetchone() is not None
        if invalid:
            self.drop_index(editor, name=name, table=table)
        editor.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {table} {columns}")

    def drop_index(self, editor: Any, *, name: str, table: str) -> None:
        """See `Dialect.drop_index`."""
        editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
