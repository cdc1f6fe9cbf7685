"""The result backend: django-celery-results' rows, with exact arguments, and nothing lost.

In Django's settings: `CELERY_RESULT_BACKEND = "tasks_admin.backend:DatabaseBackend"`.
"""

from typing import Any

from celery import states
from celery.utils.time import maybe_timedelta
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F, Value
from django.db.models.functions import Coalesce, Now
from django_celery_results.backends.database import DatabaseBackend as StockBackend
from kombu.utils.json import dumps

from tasks_admin import housekeeping
from tasks_admin.conf import settings
from tasks_admin.models import Result, Target
from tasks_admin.models.targets import TASK_ID, TargetState

#: Characters of a result or a traceback that are kept.
LONGEST = 64_000
#: What Celery stores when a process ended while it ran a task.
DEATHS = {"WorkerLostError", "TimeLimitExceeded"}


class DatabaseBackend(StockBackend):  # type: ignore[misc]
    """One guarded update a result; the row is usually there since the task was published."""

    def exception_safe_to_retry(self, exc: BaseException) -> bool:
        """Try again on a new connection when the database went away."""
        if isinstance(exc, (InterfaceError, OperationalError)):
            connection.close()
            return True
        return False

    def _store_result(
        self,
        task_id: str,
        result: Any,
        status: str,
        traceback: str | None = None,
        request: Any = None,
        using: str | None = None,
    ) -> Any:
        """Store a state of a task; a success is never overwritten, nor is an end by a start."""
        content_type, content_encoding, encoded = self.encode_content(brief(result, status))
        known = {
            "task_name": clipped(getattr(request, "task", None), 255),
            "periodic_task_name": clipped(getattr(request, "periodic_task_name", None), 255),
            **self._arguments(request),
        }
        new: dict[str, Any] = {
            "status": status,
            "result": encoded,
            "traceback": clipped(traceback, LONGEST),
            "content_type": content_type,
            "content_encoding": content_encoding,
        }
        if worker := clipped(getattr(request, "hostname", None), 100):
            new["worker"] = worker
        if status == states.STARTED:
            new["date_started"] = Now()
        rows = Result.objects.using(using).filter(task_id=task_id)
        ends = status in states.READY_STATES
        open_rows = rows.exclude(status__in=[states.SUCCESS] if ends else states.READY_STATES)
        merged: dict[str, Any] = {
            name: Coalesce(F(name), Value(value)) for name, value in known.items() if value
        }
        if children := self.current_task_children(request):
            merged["meta"] = Value(dumps({**self._notes(rows), "children": children}))
        with transaction.atomic(using=using):
            if not open_rows.update(**new, **merged, date_done=Now()):
                new |= {"date_started": None} if status != states.STARTED else {}
                row = Result(task_id=task_id, **known, **new, meta=self._first_notes(request))
                Result.objects.using(using).bulk_create([row], ignore_conflicts=True)
            if TASK_ID.fullmatch(task_id):
                self._settle(task_id, status, result)
        return result

    def cleanup(self) -> None:
        """Delete expired results, in small bites; Celery's `backend_cleanup` calls this."""
        if self.expires:
            housekeeping.forget_results(maybe_timedelta(self.expires))
            self.GroupModel._default_manager.delete_expired(self.expires)

    def _arguments(self, request: Any) -> dict[str, str | None]:
        """The arguments as the JSON that was sent."""
        args, kwargs = getattr(request, "args", None), getattr(request, "kwargs", None)
        if args is None and kwargs is None:
            return {}
        try:
            return {"task_args": dumps(args or []), "task_kwargs": dumps(kwargs or {})}
        except (TypeError, ValueError):  # they came in another serialization than JSON
            return {}

    def _first_notes(self, request: Any) -> str:
        key = (getattr(request, "delivery_info", None) or {}).get("routing_key") or ""
        queues = self.app.amqp.queues.values()
        queue = next((queue.name for queue in queues if queue.routing_key == key), key)
        return dumps({"queue": queue, "children": self.current_task_children(request)})

    def _notes(self, rows: Any) -> dict[str, Any]:
        row = rows.only("meta").first()
        return row.notes if row else {}

    def _settle(self, task_id: str, status: str, result: Any) -> None:
        """Bring the target that the task was run for to its outcome, in the same transaction."""
        target = Target.objects.of_task(task_id)
        if status == states.SUCCESS:
            target.settle(TargetState.DONE)
        elif status == states.REVOKED:
            target.settle(TargetState.CANCELLED, reason="revoked")
        elif status == states.RETRY:
            target.requeued(settings.LEASE_UNLIMITED)
        elif status == states.FAILURE:
            kind = str((result or {}).get("exc_type", "")) if isinstance(result, dict) else ""
            if kind in DEATHS:
                name = Result.objects.filter(task_id=task_id).values_list("task_name", flat=True)
                task = self.app.tasks.get(name.first() or "")
                target.died(again=bool(task is not None and task.acks_late))
            else:
                target.settle(TargetState.FAILED, reason="raised", detail=kind[:100])


def clipped(text: Any, longest: int) -> str | None:
    """Make text fit to be stored: no NUL, no lone surrogates, no more than `longest` characters."""
    if text is None:
        return None
    tame = str(text).replace("\x00", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace").decode()
    if len(tame) <= longest:
        return tame
    return tame[:longest] if longest < 1000 else f"{tame[:longest]}\n… ({len(tame)} characters)"


def brief(result: Any, status: str) -> Any:
    """Shorten what an exception said; what a task returned is the project's, and stays whole."""
    if status not in states.EXCEPTION_STATES or not isinstance(result, dict):
        return result
    if len(said := str(result.get("exc_message"))) <= LONGEST:
        return result
    return result | {"exc_message": [clipped(said, LONGEST)]}


def store_published(
    sender: str = "",
    headers: Any = None,
    body: Any = None,
    routing_key: str = "",
    declare: Any = (),
    **_: Any,
) -> None:
    """Store a task that the project queues; connected to Celery's `before_task_publish`."""
    task_id = (headers or {}).get("id", "")
    if not settings.STORE_PENDING or not task_id or TASK_ID.fullmatch(task_id):
        return
    if headers.get("ignore_result") or not isinstance(body, (tuple, list)):
        return
    queue = declare[0].name if declare else routing_key
    args, kwargs = body[:2]
    try:
        row = Result.announced(task_id=task_id, task=sender, args=args, kwargs=kwargs, queue=queue)
    except (TypeError, ValueError):  # no JSON: Celery refuses it, or has another serializer for it
        return
    with transaction.atomic():
        Result.objects.announce([row])
