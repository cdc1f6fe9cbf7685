"""Recording: a failure is counted when its result is stored. No table is ever scanned."""

import functools
import logging
from typing import Any, NamedTuple

from django.db import connections, router, transaction
from django.db.models.functions import Now

from tasks_admin.models import Failure, FailureGroup, FailureGroupHour, Result
from tasks_admin.models.dialects import Dialect, dialect_of
from tasks_admin.results.failures.fingerprints import FailureFingerprint

logger = logging.getLogger(__name__)
#: Groups of one task and exception; failures beyond them are counted as one further group.
MAX_GROUPS = 100
#: A group may be deleted between two statements: then it is created again.
MAX_ATTEMPTS = 3
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


class GroupDeleted(Exception):
    """The dispatcher deleted the group as expired while the failure was counted."""


def record_failure(
    *, task_id: str, task: str, result: Any, traceback: str | None, using: str | None = None
) -> None:
    """Count a failure in its group, once. Call it last in the transaction that stores the result.

    Many workers update the same rows. They are locked in one order (hour, group) and only until
    the commit that follows, so that no deadlock can occur. An error is logged and loses no result:
    it happens within a savepoint. Only a lost connection raises.
    """
    alias = using or router.db_for_write(FailureGroup)
    for attempts_left in reversed(range(MAX_ATTEMPTS)):
        try:
            name = task or _task_name(task_id, alias)
            fingerprint = FailureFingerprint.of(task=name, result=result, traceback=traceback)
            with transaction.atomic(using=alias):
                _count(task_id, fingerprint, alias)
            return
        except Exception as error:
            if _is_connection_lost(alias):
                raise
            if not (attempts_left and isinstance(error, GroupDeleted)):
                logger.exception("The failure of task %s was not recorded", task_id)
                return


def _count(task_id: str, fingerprint: FailureFingerprint, alias: str) -> None:
    connection = connections[alias]
    sql = _statements(dialect_of(connection))
    with connection.cursor() as cursor:
        cursor.execute(sql.insert_failure, [task_id, fingerprint.digest])
        if not cursor.rowcount:
            if Failure.objects.using(alias).filter(task_id=task_id).exists():
                return  # recorded before
            fingerprint = _create_group(fingerprint, alias)
            cursor.execute(sql.insert_failure, [task_id, fingerprint.digest])
            if not cursor.rowcount:
                raise GroupDeleted
        cursor.execute(sql.count_in_hour, [fingerprint.digest])
        cursor.execute(sql.count_in_group, [fingerprint.digest])
        if not cursor.rowcount:
            raise GroupDeleted


def _create_group(fingerprint: FailureFingerprint, alias: str) -> FailureFingerprint:
    """Create the group unless it exists; beyond `MAX_GROUPS`, the group of all other failures."""
    groups = FailureGroup.objects.using(alias)
    same = groups.filter(task=fingerprint.task, exception=fingerprint.exception)
    if same.count() >= MAX_GROUPS:
        fingerprint = fingerprint.without_message()
    row = FailureGroup(
        digest=fingerprint.digest,
        task=fingerprint.task,
        exception=fingerprint.exception,
        location=fingerprint.location,
        message=fingerprint.message,
        first_at=Now(),
        last_at=Now(),
    )
    groups.bulk_create([row], ignore_conflicts=True)  # another worker may create it first
    return fingerprint


def _task_name(task_id: str, alias: str) -> str:
    """The task's name as published, for a worker that reports a result without it."""
    names = Result.objects.using(alias).filter(task_id=task_id)
    return names.values_list("task_name", flat=True).first() or ""


def _is_connection_lost(alias: str) -> bool:
    """Whether the surrounding transaction cannot be committed any more."""
    connection = connections[alias]
    if connection.needs_rollback or connection.connection is None:
        return True
    return not connection.is_usable()
