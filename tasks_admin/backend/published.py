"""Results from the time of publishing, for the tasks that the project itself publishes."""

import contextlib
import logging
from typing import Any

from celery import current_app
from django.db import connections, router, transaction

from tasks_admin.backend import rows
from tasks_admin.backend.arguments import Arguments, accepts_only_json, encode_arguments
from tasks_admin.backend.texts import storable_text
from tasks_admin.integrations import database
from tasks_admin.lib.conf import settings
from tasks_admin.models import Result, result_meta
from tasks_admin.models.result_states import ResultState
from tasks_admin.models.targets import TASK_ID

logger = logging.getLogger(__name__)
#: The longest task id that the table can store.
MAX_ID_LENGTH = Result._meta.get_field("task_id").max_length or 255


def is_storable_id(task_id: str) -> bool:
    """Whether the table can store the id."""
    return bool(task_id) and len(task_id) <= MAX_ID_LENGTH and "\x00" not in task_id


def ancestors(task_id: str, parent: Any, root: Any) -> dict[str, str]:
    """The task ids of the parent and the root, as `result_meta.build` takes them."""
    known = {"parent": parent, "root": root if root != task_id else None}
    return {name: other for name, other in known.items() if other and is_storable_id(str(other))}


def store_published(
    sender: str = "",
    headers: Any = None,
    body: Any = None,
    routing_key: str = "",
    declare: Any = (),
    **_: Any,
) -> None:
    """Store a task that the project publishes. Receiver of Celery's `before_task_publish`."""
    headers = headers or {}
    task_id = str(headers.get("id") or "")
    if not settings.STORE_PENDING or not is_storable_id(task_id) or TASK_ID.fullmatch(task_id):
        return
    if headers.get("ignore_result") or not isinstance(body, (tuple, list)):
        return
    reprs = headers.get("argsrepr"), headers.get("kwargsrepr")
    arguments = encode_arguments(current_app, body[0], body[1], *reprs)
    if arguments.inexact_reason == "not_json" and accepts_only_json(current_app):
        return  # Celery is about to raise an error
    queue = declare[0].name if declare else routing_key
    _insert(_row(task_id, sender, arguments, queue, headers))


def _row(task_id: str, task: str, arguments: Arguments, queue: str, headers: Any) -> rows.Row:
    new = {
        "status": ResultState.PENDING,
        "result": None,
        "traceback": None,
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "worker": None,
        "periodic_task_name": storable_text(headers.get("periodic_task_name"), 255),
    }
    constant: dict[str, str | None] = {"task_args": arguments.args, "task_kwargs": arguments.kwargs}
    constant["task_name"] = storable_text(task, 255) or ""
    meta = result_meta.build(
        queue,
        inexact_reason=arguments.inexact_reason,
        ancestors=ancestors(task_id, headers.get("parent_id"), headers.get("root_id")),
    )
    return rows.Row(task_id=task_id, new=new, constant=constant, meta=meta, final=())


def _insert(row: rows.Row) -> None:
    """Insert, in a savepoint if needed: an error must not break the caller's transaction."""
    connection = connections[router.db_for_write(Result)]
    inside = connection.in_atomic_block
    try:
        with transaction.atomic(using=connection.alias) if inside else contextlib.nullcontext():
            rows.insert_pending(row, using=connection.alias)
    except database.UNAVAILABLE_ERRORS as error:  # the worker stores the row when the task runs
        logger.warning(
            "Task %s is queued; its result is not stored yet: %s", row.task_id, type(error)
        )
        if not connection.in_atomic_block:
            connection.close()
