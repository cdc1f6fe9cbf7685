"""Writing results: one guarded statement each.

The ORM would need three statements, which take longer than a small task.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper

from tasks_admin.models import Result, result_meta
from tasks_admin.models.dialects import dialect_of

TABLE = Result._meta.db_table
#: Columns that keep their value if the new one is None.
KEPT_IF_NONE = ("worker", "periodic_task_name")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A state of a task, as it is written to the table."""

    task_id: str
    #: Columns that the state replaces; None leaves `worker` and `periodic_task_name` as they are.
    new: dict[str, Any]
    #: The states that this one does not replace.
    final: tuple[str, ...]
    #: Columns that are written once: `task_name`, `task_args`, `task_kwargs`.
    constant: dict[str, str | None] = field(default_factory=dict)
    #: Seconds since the task started, if it started in this process.
    run_time: float | None = None
    #: The whole text of `meta`; and its ending, if that differs from the one at publishing.
    meta: str = ""
    meta_ending: str = ""


def write(
    row: Row,
    complete: Callable[[], Row],
    *,
    fill: bool,
    using: str | None = None,
    durable: bool = True,
) -> bool:
    """Store a state; return False if the row has a state that this one does not replace.

    Usually the row exists, with its arguments: one small UPDATE. If it does not exist, or lacks
    arguments that are known here (`fill`), a second statement stores all of `complete`. That one
    also waits for a publisher whose transaction has inserted the row and is still open.
    """
    connection = connections[using or router.db_for_write(Result)]
    with connection.cursor() as cursor:
        cursor.execute(*_update(row, connection, fill=fill, durable=durable))
        if cursor.rowcount == 0:
            cursor.execute(*_upsert(complete(), connection))
        return bool(cursor.rowcount)


def insert_pending(row: Row, *, using: str | None = None) -> None:
    """Insert the row of a task that is about to be published; an existing row stays as it is."""
    connection = connections[using or router.db_for_write(Result)]
    sql, params = _insert(row, connection)
    with connection.cursor() as cursor:
        cursor.execute(sql + dialect_of(connection).do_nothing("task_id"), params)


def _update(
    row: Row, connection: BaseDatabaseWrapper, *, fill: bool, durable: bool
) -> tuple[str, list[Any]]:
    new = {
        name: row.new[name]
        for name in row.new
        if name not in KEPT_IF_NONE or row.new[name] is not None
    }
    sets: dict[str, tuple[str, list[Any]]] = {name: ("%s", [new[name]]) for name in new}
    now = datetime.now(UTC)  # read once: the task must not end before it started
    sets["date_done"] = _ago(connection, now)
    if row.run_time is not None:
        sets["date_started"] = _ago(connection, now, row.run_time)
    if row.meta_ending:
        sets["meta"] = _meta(row)
    where, params = f"task_id = %s AND status NOT IN ({_placeholders(row.final)})", [row.task_id]
    if fill:
        where += " AND task_args IS NOT NULL"
    asynchronous = dialect_of(connection).asynchronous_commit
    if not durable and asynchronous and not connection.in_atomic_block:
        where += f" AND {asynchronous}"
    names = ", ".join(f"{name} = {sql}" for name, (sql, _params) in sets.items())
    values = [value for _sql, more in sets.values() for value in more]
    return f"UPDATE {TABLE} SET {names} WHERE {where}", [*values, *params, *row.final]  # noqa: S608


def _upsert(row: Row, connection: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
    sql, params = _insert(row, connection)
    dialect = dialect_of(connection)
    new = dialect.new_value
    replaced = ["status", "result", "traceback", "content_type", "content_encoding", "date_done"]
    sets = {name: new(name) for name in replaced}
    for name in ("worker", "date_started"):
        sets[name] = f"COALESCE({new(name)}, {TABLE}.{name})"
    for name in ("task_name", "task_args", "task_kwargs", "periodic_task_name", "meta"):
        sets[name] = f"COALESCE({TABLE}.{name}, {new(name)})"
    more: list[Any] = []
    if row.meta_ending:
        sets["meta"], more = _meta(row)
    where = f"{TABLE}.status NOT IN ({_placeholders(row.final)})"
    sql += dialect.do_update("task_id", sets, where=where)
    return sql, [*params, *more, *row.final]


def _insert(row: Row, connection: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
    values = {"task_id": row.task_id, "meta": row.meta, **row.new, **row.constant}
    now = datetime.now(UTC)
    # It was queued before it started; when, is not known here.
    created, moment = _ago(connection, now, row.run_time or 0.0)
    started = "NULL" if row.run_time is None else created
    done, ended = _ago(connection, now)
    names = ", ".join([*values, "date_created", "date_done", "date_started"])
    places = f"{_placeholders(values)}, {created}, {done}, {started}"
    sql = f"INSERT INTO {TABLE} ({names}) VALUES ({places})"  # noqa: S608
    return sql, [*values.values(), *moment, *ended, *(moment if row.run_time is not None else [])]


def _meta(row: Row) -> tuple[str, list[Any]]:
    """The stored `meta` with another ending, without reading it first; the queue stays."""
    return result_meta.replace_ending_sql(
        f"{TABLE}.meta", ending=row.meta_ending, otherwise=row.meta
    )


def _ago(
    connection: BaseDatabaseWrapper, now: datetime, seconds: float = 0.0
) -> tuple[str, list[Any]]:
    return dialect_of(connection).seconds_ago(max(seconds, 0.0), now=now)


def _placeholders(values: Sequence[Any] | dict[str, Any]) -> str:
    return ", ".join(["%s"] * len(values))
