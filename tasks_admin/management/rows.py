"""What `manage.py ops` lists: the pages as rows, for those who may look at them."""

from typing import Any

from django.contrib.auth.models import User
from django.utils.translation import gettext as _

from tasks_admin import periodic, queues, workers
from tasks_admin.lib import durations
from tasks_admin.lib.errors import NotAllowed
from tasks_admin.models import FailureGroup, Operation, Result

#: Rows that a list has at most.
MOST = 10_000
Row = dict[str, Any]


def of_workers(actor: User) -> list[Row]:
    """Who answers, and what is known of who does not."""
    _may_look(actor, "worker")
    workers.discover_unmanaged()
    known = workers.overview()
    return [
        {
            "name": seen.name,
            "state": str(seen.state),
            "pool": seen.view.pool,
            "processes": seen.view.processes,
            "running": seen.view.running_count,
            "reserved": seen.view.reserved_count,
            "scheduled": seen.view.scheduled_count,
            "revoked": seen.view.revoked,
            "queues": ",".join(seen.view.queues),
            "paused": ",".join(seen.view.paused_queues),
            "processed": seen.view.total,
            "a_minute": _rounded(seen.row.rate if seen.row else None),
            "memory": seen.view.memory,
            "up_for": durations.format_duration(seen.view.up_for),
            "seen": durations.format_duration(seen.last_seen_age),
        }
        for seen in known.workers
    ]


def of_queues(actor: User) -> list[Row]:
    """What waits, and who consumes it."""
    _may_look(actor, "queue")
    return [
        {
            "name": seen.name,
            "waiting": seen.waiting,
            "oldest": durations.format_duration(seen.oldest),
            "with_workers": seen.in_flight,
            "consumers": ",".join(one.name for one in seen.consumers),
            "in_a_minute": _rounded(seen.rates.incoming),
            "out_a_minute": _rounded(seen.rates.outgoing),
            "paused": bool(seen.paused_at),
            "nobody_consumes": seen.unconsumed,
        }
        for seen in queues.overview().queues
    ]


def of_periodic(actor: User) -> list[Row]:
    """What beat queues, and when."""
    _may_look(actor, "periodictask")
    names = ("name", "task", "schedule", "enabled", "last_run_at", "next_run_at", "runs")
    return [{name: getattr(seen, name) for name in names} for seen in periodic.overview().tasks]


def of_message(one: queues.QueuedMessage) -> Row:
    """A message that waits, masked."""
    return {"task": one.task, "id": one.task_id, "arguments": one.arguments_text, "bytes": one.size}


def of_results(actor: User, *, limit: int, **wanted: str | None) -> list[Row]:
    """The newest results, by `status` and `task_name`."""
    _may_look(actor, "result")
    found = Result.objects.filter(**{name: value for name, value in wanted.items() if value})
    slim = found.order_by("-pk").only("task_id", "status", "task_name", "worker", "date_created")
    return [
        {
            "id": row.task_id,
            "status": row.status,
            "task": row.task_name,
            "worker": row.worker,
            "queued": row.date_created,
        }
        for row in slim[: _bounded(limit)]
    ]


def of_failure_groups(actor: User, *, limit: int) -> list[Row]:
    """Causes of failures, the latest first."""
    _may_look(actor, "failuregroup")
    names = (
        "id",
        "state",
        "count",
        "task",
        "exception",
        "message",
        "location",
        "first_at",
        "last_at",
    )
    found = FailureGroup.objects.order_by("-last_at", "-pk")[: _bounded(limit)]
    return [{name: getattr(one, name) for name in names} for one in found]


def of_operations(actor: User, *, limit: int) -> list[Row]:
    """The newest operations."""
    _may_look(actor, "operation")
    return [of_operation(one) for one in Operation.objects.order_by("-pk")[: _bounded(limit)]]


def of_operation(operation: Operation) -> Row:
    """An operation, and its targets by state."""
    return {
        "id": operation.pk,
        "verb": operation.verb,
        "state": operation.state,
        "by": operation.actor_name,
        "targets": operation.total,
        **dict(operation.counts()),
    }


def _rounded(rate: float | None) -> float | None:
    return None if rate is None else round(rate, 1)


def _bounded(limit: int) -> int:
    return max(1, min(limit, MOST))


def _may_look(actor: User, noun: str) -> None:
    if not (actor.is_active and actor.has_perm(f"tasks_admin.view_{noun}")):
        text = _("%(user)s lacks the permission to look at this (%(permission)s).")
        who = {"user": actor.get_username(), "permission": f"tasks_admin.view_{noun}"}
        raise NotAllowed(text % who)
