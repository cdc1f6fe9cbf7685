"""Results from the moment of publishing: what the project itself queues."""

import contextlib
import logging
from typing import Any

from celery import current_app
from django.db import connections, router, transaction

from tasks_admin.backend import rows
from tasks_admin.backend.arguments import Arguments, kept, only_json
from tasks_admin.backend.texts import clipped
from tasks_admin.integrations import database
from tasks_admin.lib.conf import settings
from tasks_admin.models import Result, result_meta
from tasks_admin.models.result_states import ResultState
from tasks_admin.models.targets import TASK_ID

logger = logging.getLogger(__name__)
#: Characters of a task's id that the table holds.
ID_LENGTH = Result._meta.get_field("task_id").max_length or 255


def storable(task_id: str) -> bool:
    """Whether the table can hold the id at all."""
    return bool(task_id) and len(task_id) <= ID_LENGTH and "\x00" not in task_id


def ancestors(task_id: str, parent: Any, root: Any) -> dict[str, str]:
    """The tasks that a task descends from, as `meta` notes them: `parent` and `root`, if any."""
    known = {"parent": parent, "root": root if root != task_id else None}
    return {name: other for name, other in known.items() if other and storable(str(other))}


def store_published(
    sender: str = "",
    headers: Any = None,
    body: Any = None,
    routing_key: str = "",
    declare: Any = (),
    **_: Any,
) -> None:
    """Store a task that the project queues; connected to Celery's `before_task_publish`."""
    headers = headers or {}
    task_id = str(headers.get("id") or "")
    if not settings.STORE_PENDING or not storable(task_id) or TASK_ID.fullmatch(task_id):
        return
    if headers.get("ignore_result") or not isinstance(body, (tuple, list)):
        return
    reprs = headers.get("argsrepr"), headers.get("kwargsrepr")
    arguments = kept(current_app, body[0], body[1], *reprs)
    if arguments.inexact_reason == "not_json" and only_json(current_app):
        return  # Celery is about to refuse it
    queue = declare[0].name if declare else routing_key
    _announce(_row(task_id, sender, arguments, queue, headers))


def _row(task_id: str, task: str, arguments: Arguments, queue: str, headers: Any) -> rows.Row:
    new = {
        "status": ResultState.PENDING,
        "result": None,
        "traceback": None,
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "worker": None,
        "periodic_task_name": clipped(headers.get("periodic_task_name"), 255),
    }
    known: dict[str, str | None] = {"task_args": arguments.args, "task_kwargs": arguments.kwargs}
    known["task_name"] = clipped(task, 255) or ""
    meta = result_meta.build(
        queue,
        inexact_reason=arguments.inexact_reason,
        ancestors=ancestors(task_id, headers.get("parent_id"), headers.get("root_id")),
    )
    return rows.Row(task_id=task_id, new=new, known=known, meta=meta, final=())


def _announce(row: rows.Row) -> None:
    """Insert by itself, or under a savepoint: a refusal must not break the caller's transaction."""
    connection = connections[router.db_for_write(Result)]
    inside = connection.in_atomic_block
    try:
        with transaction.atomic(using=connection.alias) if inside else contextlib.nullcontext():
            rows.announce(row, using=connection.alias)
    except database.UNAVAILABLE_ERRORS as error:  # the worker stores it when it runs
        logger.warning("Task %s is queued, but not stored yet: %s", row.task_id, type(error))
        if not connection.in_atomic_block:
            connection.close()
