"""The result backend: django-celery-results' table, with exact arguments, safe against outages.

In Django's settings: `CELERY_RESULT_BACKEND = "tasks_admin.backend:DatabaseBackend"`.
"""

import contextlib
import dataclasses
import functools
import logging
from typing import Any

from celery import maybe_signature
from celery.utils.time import maybe_timedelta
from django.db import connections, router, transaction
from django.utils import timezone
from django_celery_results.backends.database import DatabaseBackend as StockBackend
from django_celery_results.backends.database import trigger_callback
from django_celery_results.models import TaskResult
from kombu.exceptions import KombuError

from tasks_admin.backend import rows, starts
from tasks_admin.backend.arguments import Arguments, encode_arguments
from tasks_admin.backend.chords import ChordPart
from tasks_admin.backend.published import ancestors, is_storable_id, store_published
from tasks_admin.backend.texts import MAX_TEXT_LENGTH, shorten_exception, storable_text
from tasks_admin.integrations import database
from tasks_admin.lib import celery_json
from tasks_admin.lib.conf import settings
from tasks_admin.models import Result, Target, result_meta, stored_exceptions
from tasks_admin.models.result_states import EXCEPTIONS, READY, ResultState
from tasks_admin.models.targets import TASK_ID, TargetQuerySet, TargetState
from tasks_admin.results import expiry, failures

__all__ = ["MAX_TEXT_LENGTH", "DatabaseBackend", "store_published"]

logger = logging.getLogger(__name__)
#: What a serializer raises for a text that it did not write.
DECODING_ERRORS = (*celery_json.DECODING_ERRORS, KombuError)


def decode_column(backend: StockBackend, row: TaskResult, text: str | None) -> Any:
    """Decode a text that we wrote as JSON, or the stock backend in the result's serialization."""
    for decode in (celery_json.decode, functools.partial(backend.decode_content, row)):
        try:
            return decode(text) if text else None
        except DECODING_ERRORS:
            continue
    return text


class DatabaseBackend(StockBackend):  # type: ignore[misc]
    """Writes one guarded statement per result; the row usually exists since publishing."""

    def exception_safe_to_retry(self, exc: BaseException) -> bool:
        """Retry on a new connection if the database became unavailable.

        Not inside a transaction of the project: it is lost, and each retry would fail again.
        """
        connection = connections[router.db_for_write(Result)]
        if connection.in_atomic_block or not isinstance(exc, database.UNAVAILABLE_ERRORS):
            return False
        connection.close()
        return True

    def _store_result(
        self,
        task_id: str,
        result: Any,
        status: str,
        traceback: str | None = None,
        request: Any = None,
        using: str | None = None,
    ) -> Any:
        """Store a state of a task. A success is never replaced, nor an outcome by a start."""
        if not is_storable_id(task_id):
            logger.error("%s was not stored: the table can't store the id %.300r", status, task_id)
            return result
        row = self._row(task_id, result, status, traceback, request)
        complete = functools.partial(self._complete, row, request)
        fill = getattr(request, "args", None) is not None
        failed = status == ResultState.FAILURE
        if not (failed or TASK_ID.fullmatch(task_id)):  # a single statement needs no transaction
            durable = settings.RESULTS_DURABLE
            rows.write(row, complete, fill=fill, using=using, durable=durable)
            return result
        with transaction.atomic(using=using):
            stored = rows.write(row, complete, fill=fill, using=using)
            self._settle(task_id, status, result)
            if failed and stored:
                task = getattr(request, "task", None) or ""
                failures.record_failure(
                    task_id=task_id, task=task, result=result, traceback=traceback, using=using
                )
        return result

    def on_chord_part_return(self, request: Any, state: str, result: Any, **_: Any) -> None:
        """Count a finished task of a chord, once; call the body after the last one."""
        if not request.id or not request.group:
            return
        counter = self._ensure_retryable(ChordPart(request.group).count)
        if counter is None:
            return
        parts = counter.group_result(app=self.app)
        if parts.ready():
            body = maybe_signature(request.chord, app=self.app)
            trigger_callback(app=self.app, callback=body, group_result=parts)

    def _get_task_meta_for(self, task_id: str) -> Any:
        """Read a row that we wrote, or that the stock backend wrote with any serializer."""
        row = self.TaskModel._default_manager.get_task(task_id)
        known = row.as_dict()
        meta = decode_column(self, row, known.pop("meta", None))
        known["result"] = self.decode_content(row, known["result"])
        for name in ("args", "kwargs"):
            known[f"task_{name}"] = known[name] = decode_column(self, row, known[f"task_{name}"])
        meta = meta if isinstance(meta, dict) else {}
        return self.meta_from_decoded(meta | known | {"children": meta.get("children")})

    def cleanup(self) -> None:
        """Delete expired results, in small batches. Called by Celery's `backend_cleanup`."""
        if self.expires:
            expiry.delete_expired(maybe_timedelta(self.expires))
            self.GroupModel._default_manager.delete_expired(self.expires)

    def _row(
        self, task_id: str, result: Any, status: str, traceback: str | None, request: Any
    ) -> rows.Row:
        """The columns that a state changes in an existing row."""
        content_type, content_encoding, encoded = self._encode_result(
            shorten_exception(result, status), status
        )
        new = {
            "status": status,
            "result": encoded,
            "traceback": storable_text(traceback, MAX_TEXT_LENGTH),
            "content_type": content_type,
            "content_encoding": content_encoding,
            "worker": storable_text(getattr(request, "hostname", None), 100),
            "periodic_task_name": storable_text(getattr(request, "periodic_task_name", None), 255),
        }
        ending = self._meta_ending(request, status, result)
        return rows.Row(
            task_id=task_id,
            new=new,
            run_time=0.0 if status == ResultState.STARTED else starts.seconds_since_start(request),
            meta=self._meta(task_id, request, ending=ending) if ending else "",
            meta_ending=ending,
            final=(ResultState.SUCCESS,) if status in READY else READY,
        )

    def _complete(self, row: rows.Row, request: Any) -> rows.Row:
        """The same with the constant columns, which take some time to encode."""
        constant = {"task_name": storable_text(getattr(request, "task", None), 255)}
        arguments = self._arguments(request)
        if arguments:
            constant |= {"task_args": arguments.args, "task_kwargs": arguments.kwargs}
        reason = arguments.inexact_reason if arguments else ""
        meta = self._meta(row.task_id, request, inexact_reason=reason, ending=row.meta_ending)
        return dataclasses.replace(row, constant=constant, meta=meta)

    def _encode_result(self, result: Any, status: str) -> tuple[str, str, Any]:
        """The content type, the encoding and the text of a result."""
        if self.serializer == "json" and status in EXCEPTIONS:
            with contextlib.suppress(*celery_json.ENCODING_ERRORS):
                if isinstance(result, dict) and "exc_type" in result:
                    return "application/json", "utf-8", stored_exceptions.build(result)
        encoded: tuple[str, str, Any] = self.encode_content(result)
        return encoded

    def _meta(
        self, task_id: str, request: Any, *, inexact_reason: str = "", ending: str = ""
    ) -> str:
        parent, root = (getattr(request, name, None) for name in ("parent_id", "root_id"))
        return result_meta.build(
            self._queue(request),
            inexact_reason=inexact_reason,
            ancestors=ancestors(task_id, parent, root),
            ending=ending or result_meta.NO_CHILDREN,
        )

    def _arguments(self, request: Any) -> Arguments | None:
        args, kwargs = getattr(request, "args", None), getattr(request, "kwargs", None)
        if args is None and kwargs is None:
            return None
        reprs = (getattr(request, name, None) for name in ("argsrepr", "kwargsrepr"))
        return encode_arguments(self.app, args, kwargs, *reprs)

    def _meta_ending(self, request: Any, status: str, result: Any) -> str:
        """The end of `meta`: what the project added, and the children; empty if there are none.

        Records the time and exception of a retry by Celery too: the row has only one state.
        """
        extra = self._get_meta_from_request(request)
        extra = extra if isinstance(extra, dict) else {}
        if status == ResultState.RETRY:
            exception = failures.exception_class(result) if result else ""
            number = getattr(request, "retries", None) or 0
            extra = extra | result_meta.retry_value(number, at=timezone.now(), exception=exception)
        children = self.current_task_children(request) or ()
        return result_meta.build_ending(extra=extra, children=children) if extra or children else ""

    def _queue(self, request: Any) -> str:
        key = (getattr(request, "delivery_info", None) or {}).get("routing_key") or ""
        queues = self.app.amqp.queues.values()
        return str(next((queue.name for queue in queues if queue.routing_key == key), key))

    def _settle(self, task_id: str, status: str, result: Any) -> None:
        """Settle the target of the task, in the same transaction."""
        target = Target.objects.for_current_attempt(task_id)
        if status == ResultState.SUCCESS:
            target.settle(TargetState.DONE)
        elif status == ResultState.REVOKED:
            target.settle(TargetState.CANCELLED, reason="revoked")
        elif status == ResultState.RETRY:
            target.mark_queued(settings.LEASE_UNLIMITED)
        elif status == ResultState.FAILURE:
            self._fail(target, task_id, result)

    def _fail(self, target: TargetQuerySet, task_id: str, result: Any) -> None:
        exception = str((result or {}).get("exc_type", "")) if isinstance(result, dict) else ""
        if exception not in stored_exceptions.PROCESS_DIED:
            target.settle(TargetState.FAILED, reason="raised", detail=exception[:100])
            return
        name = Result.objects.filter(task_id=task_id).values_list("task_name", flat=True)
        task = self.app.tasks.get(name.first() or "")
        target.settle_crashed(again=bool(task is not None and task.acks_late))
