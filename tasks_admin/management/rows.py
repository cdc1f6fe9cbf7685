"""The lists of `manage.py ops`: the pages as rows, for users who have permission to view them."""

from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import User
from django.utils.translation import gettext as _

from tasks_admin import periodic, queues, workers
from tasks_admin.lib.durations import format_duration
from tasks_admin.lib.errors import NotAllowed
from tasks_admin.models import FailureGroup, Operation, Result

MAX_ROWS = 10_000
Row = dict[str, Any]
Options = dict[str, Any]


def worker_rows(actor: User, options: Options) -> list[Row]:
    """Return all known workers."""
    _require_view(actor, "worker")
    workers.discover_unmanaged()
    return [
        {
            "name": worker.name,
            "state": str(worker.state),
            "pool": worker.view.pool,
            "processes": worker.view.processes,
            "running": worker.view.running_count,
            "reserved": worker.view.reserved_count,
            "scheduled": worker.view.scheduled_count,
            "revoked": worker.view.revoked,
            "queues": ",".join(worker.view.queues),
            "paused": ",".join(worker.view.paused_queues),
            "processed": worker.view.total,
            "tasks_per_minute": _rounded(worker.row.rate if worker.row else None),
            "memory": worker.view.memory,
            "uptime": format_duration(worker.view.up_for),
            "last_seen": format_duration(worker.last_seen_age),
        }
        for worker in workers.overview().workers
    ]


def queue_rows(actor: User, options: Options) -> list[Row]:
    """Return all known queues."""
    _require_view(actor, "queue")
    return [
        {
            "name": queue.name,
            "waiting": queue.waiting,
            "oldest": format_duration(queue.oldest),
            "in_flight": queue.in_flight,
            "consumers": ",".join(worker.name for worker in queue.consumers),
            "in_per_minute": _rounded(queue.rates.incoming),
            "out_per_minute": _rounded(queue.rates.outgoing),
            "paused": bool(queue.paused_at),
            "no_consumers": queue.unconsumed,
        }
        for queue in queues.overview().queues
    ]


def periodic_rows(actor: User, options: Options) -> list[Row]:
    """Return all known periodic tasks."""
    _require_view(actor, "periodictask")
    names = ("name", "task", "schedule", "enabled", "last_run_at", "next_run_at", "runs")
    return [{name: getattr(task, name) for name in names} for task in periodic.overview().tasks]


def result_rows(actor: User, options: Options) -> list[Row]:
    """Return the latest results, filtered by `status` and `task_name`."""
    _require_view(actor, "result")
    filters = {name: options[name] for name in ("status", "task_name") if options[name]}
    columns = ("task_id", "status", "task_name", "worker", "date_created")
    latest = Result.objects.filter(**filters).order_by("-pk").only(*columns)
    return [
        {
            "id": row.task_id,
            "status": row.status,
            "task": row.task_name,
            "worker": row.worker,
            "queued": row.date_created,
        }
        for row in latest[: _limit(options)]
    ]


def failure_group_rows(actor: User, options: Options) -> list[Row]:
    """Return the failure groups with the latest failures."""
    _require_view(actor, "failuregroup")
    names = (
        "id", "state", "count", "task", "exception", "message", "location", "first_at", "last_at",
    )  # fmt: skip
    latest = FailureGroup.objects.order_by("-last_at", "-pk")[: _limit(options)]
    return [{name: getattr(group, name) for name in names} for group in latest]


def operation_rows(actor: User, options: Options) -> list[Row]:
    """Return the latest operations."""
    _require_view(actor, "operation")
    latest = Operation.objects.order_by("-pk")[: _limit(options)]
    return [operation_row(operation) for operation in latest]


def operation_row(operation: Operation) -> Row:
    """Return an operation, with the number of its targets by state."""
    return {
        "id": operation.pk,
        "verb": operation.verb,
        "state": operation.state,
        "actor": operation.actor_name,
        "targets": operation.total,
        **dict(operation.counts()),
    }


def outcome_rows(operation: Operation) -> list[Row]:
    """Return the outcome for each worker; the operation itself if it has not finished."""
    if not operation.is_finished:
        return [operation_row(operation)]
    return [
        {
            "worker": target.subject,
            "outcome": target.state,
            "reason": target.reason,
            "detail": target.detail,
        }
        for target in operation.targets.order_by("pk")
    ]


def message_row(message: queues.QueuedMessage) -> Row:
    """Return a message of a queue, masked."""
    return {
        "task": message.task,
        "id": message.task_id,
        "arguments": message.arguments_text,
        "bytes": message.size,
    }


#: The function and the help text of each list.
LISTS: dict[str, tuple[Callable[[User, Options], list[Row]], str]] = {
    "workers": (worker_rows, "list all workers"),
    "queues": (queue_rows, "list all queues"),
    "periodic": (periodic_rows, "list all periodic tasks"),
    "results": (result_rows, "list the latest results"),
    "operations": (operation_rows, "list the latest operations"),
    "failure_groups": (failure_group_rows, "list the failure groups with the latest failures"),
}
#: The lists that show the latest rows only.
LIMITED = ("results", "operations", "failure_groups")


def _rounded(rate: float | None) -> float | None:
    return None if rate is None else round(rate, 1)


def _limit(options: Options) -> int:
    limit: int = options["limit"]
    return max(1, min(limit, MAX_ROWS))


def _require_view(actor: User, noun: str) -> None:
    permission = f"tasks_admin.view_{noun}"
    if not (actor.is_active and actor.has_perm(permission)):
        text = _("%(user)s does not have the permission %(permission)s.")
        raise NotAllowed(text % {"user": actor.get_username(), "permission": permission})
