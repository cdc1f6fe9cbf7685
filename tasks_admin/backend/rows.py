"""Writing results: one guarded statement each.

The ORM would need three, and most of the time that a small task takes.
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
#: Columns that are left as they are where nothing is known.
SHY = ("worker", "periodic_task_name")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A state of a task, ready to be written."""

    task_id: str
    #: Columns that the state replaces; None leaves `worker` and `periodic_task_name` as they are.
    new: dict[str, Any]
    #: The states that this one does not undo.
    final: tuple[str, ...]
    #: Columns that are filled once: `task_name`, `task_args`, `task_kwargs`.
    known: dict[str, str | None] = field(default_factory=dict)
    #: Seconds since it began, when this process knows.
    ran: float | None = None
    #: `meta` as a whole, and its end when there is more to say than the queue's name.
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
    """Store a state; False when a state that it does not undo is there.

    The row is there already, as a rule, with its arguments: one small UPDATE. If it is not, or
    `fill` says that we know arguments that it lacks, a second statement stores all of `complete`;
    it also meets a publisher whose transaction is not over yet, and waits for it.
    """
    connection = connections[using or router.db_for_write(Result)]
    with connection.cursor() as cursor:
        cursor.execute(*_update(row, connection, fill=fill, durable=durable))
        if cursor.rowcount == 0:
            cursor.execute(*_upsert(complete(), connection))
        return bool(cursor.rowcount)


def announce(row: Row, *, using: str | None = None) -> None:
    """Store what is about to be published; what is known already stays as it is."""
    connection = connections[using or router.db_for_write(Result)]
    sql, params = _insert(row, connection)
    with connection.cursor() as cursor:
        cursor.execute(sql + dialect_of(connection).do_nothing("task_id"), params)


def _update(
    row: Row, connection: BaseDatabaseWrapper, *, fill: bool, durable: bool
) -> tuple[str, list[Any]]:
    new = {name: row.new[name] for name in row.new if name not in SHY or row.new[name] is not None}
    sets: dict[str, tuple[str, list[Any]]] = {name: ("%s", [new[name]]) for name in new}
    now = datetime.now(UTC)  # once: nothing ends before it began
    sets["date_done"] = _ago(connection, now)
    if row.ran is not None:
        sets["date_started"] = _ago(connection, now, row.ran)
    if row.meta_ending:
        sets["meta"] = _meta(row)
    where, params = f"task_id = %s AND status NOT IN ({_places(row.final)})", [row.task_id]
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
    where = f"{TABLE}.status NOT IN ({_places(row.final)})"
    sql += dialect.do_update("task_id", sets, where=where)
    return sql, [*params, *more, *row.final]


def _insert(row: Row, connection: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
    values = {"task_id": row.task_id, "meta": row.meta, **row.new, **row.known}
    now = datetime.now(UTC)
    begun, moment = _ago(connection, now, row.ran or 0.0)  # queued before, but nobody saw that
    started = "NULL" if row.ran is None else begun
    done, ended = _ago(connection, now)
    names = ", ".join([*values, "date_created", "date_done", "date_started"])
    places = f"{_places(values)}, {begun}, {done}, {started}"
    sql = f"INSERT INTO {TABLE} ({names}) VALUES ({places})"  # noqa: S608
    return sql, [*values.values(), *moment, *ended, *(moment if row.ran is not None else [])]


def _meta(row: Row) -> tuple[str, list[Any]]:
    """The stored `meta` with another ending, without reading it first; the queue stays."""
    return result_meta.replace_ending_sql(
        f"{TABLE}.meta", ending=row.meta_ending, otherwise=row.meta
    )


def _ago(
    connection: BaseDatabaseWrapper, now: datetime, seconds: float = 0.0
) -> tuple[str, list[Any]]:
    return dialect_of(connection).seconds_ago(max(seconds, 0.0), now=now)


def _places(values: Sequence[Any] | dict[str, Any]) -> str:
    return ", ".join(["%s"] * len(values))
