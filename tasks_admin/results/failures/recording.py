"""Notes: a failure is counted when it is stored. Nothing is ever found by scanning."""

import functools
import logging
from typing import Any, NamedTuple

from django.db import connections, router, transaction
from django.db.models.functions import Now

from tasks_admin.models import Failure, FailureGroup, FailureGroupHour, Result
from tasks_admin.models.dialects import Dialect, dialect_of
from tasks_admin.results.failures.fingerprints import Kind

logger = logging.getLogger(__name__)
#: Causes of one task and exception that are told apart; the others are counted as one.
MOST = 100
#: A cause that was deleted under our hands is made anew.
TRIES = 3
_GROUP, _HOUR, _FAILURE = (
    model._meta.db_table for model in (FailureGroup, FailureGroupHour, Failure)
)


class Statements(NamedTuple):
    """The SQL that counts a failure."""

    #: Store a failure, unless it is stored. Parameters: task id, digest of the group.
    insert_failure: str
    #: Count a failure in the current hour. Parameter: digest of the group.
    count_in_hour: str
    #: Count a failure in its group, and reopen a resolved group. Parameter: digest of the group.
    count_in_group: str


@functools.cache
def _statements(dialect: Dialect) -> Statements:
    one_more = {"count": f"{_HOUR}.count + 1"}
    return Statements(  # our own names only
        insert_failure=f"INSERT INTO {_FAILURE} (task_id, group_id, failed_at) "  # noqa: S608
        f"SELECT %s, id, {dialect.now} FROM {_GROUP} WHERE digest = %s"
        f"{dialect.do_nothing('task_id')}",
        count_in_hour=f"INSERT INTO {_HOUR} (group_id, hour, count) "  # noqa: S608
        f"SELECT id, {dialect.current_hour}, 1 FROM {_GROUP} WHERE digest = %s"
        f"{dialect.do_update('group_id, hour', one_more)}",
        count_in_group=f"UPDATE {_GROUP} SET count = count + 1, last_at = {dialect.now}, "  # noqa: S608
        f"reopened_at = CASE WHEN state = 'resolved' THEN {dialect.now} ELSE reopened_at END, "
        "state = CASE WHEN state = 'resolved' THEN 'open' ELSE state END WHERE digest = %s",
    )


class Vanished(Exception):
    """Housekeeping deleted the group while we counted."""


def record_failure(
    *, task_id: str, task: str, result: Any, traceback: str | None, using: str | None = None
) -> None:
    """Count a failure with its cause, once; call it last in the transaction that stores it.

    The rows that many workers write are locked in one order (hour, cause) and only until the
    commit that follows, so nobody waits in a circle. What goes wrong here is logged and loses no
    result: it happens under a savepoint. Only a connection that is lost is raised.
    """
    alias = using or router.db_for_write(FailureGroup)
    for left in reversed(range(TRIES)):
        try:
            kind = Kind.of(task=task or _task(task_id, alias), result=result, traceback=traceback)
            with transaction.atomic(using=alias):
                _count(task_id, kind, alias)
            return
        except Exception as error:
            if _lost(alias):
                raise
            if not (left and isinstance(error, Vanished)):
                logger.exception("Task %s failed, and was not counted", task_id)
                return


def _count(task_id: str, kind: Kind, alias: str) -> None:
    connection = connections[alias]
    sql = _statements(dialect_of(connection))
    with connection.cursor() as cursor:
        cursor.execute(sql.insert_failure, [task_id, kind.digest])
        if not cursor.rowcount:
            if Failure.objects.using(alias).filter(task_id=task_id).exists():
                return  # stored twice
            kind = _known(kind, alias)
            cursor.execute(sql.insert_failure, [task_id, kind.digest])
            if not cursor.rowcount:
                raise Vanished
        cursor.execute(sql.count_in_hour, [kind.digest])
        cursor.execute(sql.count_in_group, [kind.digest])
        if not cursor.rowcount:
            raise Vanished


def _known(kind: Kind, alias: str) -> Kind:
    """See to it that there is a row for it, or for all that are no longer told apart."""
    groups = FailureGroup.objects.using(alias)
    if groups.filter(task=kind.task, exception=kind.exception).count() >= MOST:
        kind = kind.others()
    row = FailureGroup(
        digest=kind.digest,
        task=kind.task,
        exception=kind.exception,
        place=kind.place,
        message=kind.message,
        first_at=Now(),
        last_at=Now(),
    )
    groups.bulk_create([row], ignore_conflicts=True)  # another worker may be as quick
    return kind


def _task(task_id: str, alias: str) -> str:
    """The task's name, where who stores its end does not know it."""
    names = Result.objects.using(alias).filter(task_id=task_id)
    return names.values_list("task_name", flat=True).first() or ""


def _lost(alias: str) -> bool:
    """Whether the transaction around us can't be saved."""
    connection = connections[alias]
    if connection.needs_rollback or connection.connection is None:
        return True
    return not connection.is_usable()
