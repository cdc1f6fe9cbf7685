"""Cancellation: revoke tasks that have not started, terminate tasks that are running."""

from typing import Any

from django.db.models import Case, CharField, F, QuerySet, Value, When

from tasks_admin import operations
from tasks_admin.lib.verbs import REVOKE, TERMINATE
from tasks_admin.models import Operation
from tasks_admin.models.result_states import NOT_STARTED, UNREADY, ResultState
from tasks_admin.operations import Confirmation, Selection


def select(results: QuerySet[Any]) -> Selection:
    """The tasks that would be revoked, and the number of excluded ones by reason."""
    exclusion_reason = Case(
        When(status__in=NOT_STARTED, then=Value("")),
        When(status=ResultState.STARTED, then=Value("started")),
        default=Value("ended"),
        output_field=CharField(),
    )
    return _selection(results.annotate(exclusion_reason=exclusion_reason))


def select_running(results: QuerySet[Any]) -> Selection:
    """The tasks that may be running; finished ones are excluded."""
    unready = When(status__in=UNREADY, then=Value(""))
    exclusion_reason = Case(unready, default=Value("ended"), output_field=CharField())
    return _selection(results.annotate(exclusion_reason=exclusion_reason))


def _selection(results: QuerySet[Any]) -> Selection:
    rows = operations.selected(results.filter(exclusion_reason=""), subject=F("task_id"))
    return Selection(rows=rows, excluded=operations.count_exclusions(results))


def revoke(*, results: QuerySet[Any], confirmation: Confirmation) -> Operation:
    """Keep the tasks that have not started from ever running, across restarts of workers."""
    operations.require_actor(confirmation, REVOKE)
    return operations.start(verb=REVOKE, selection=select(results), confirmation=confirmation)


def terminate(*, results: QuerySet[Any], confirmation: Confirmation) -> Operation:
    """Kill the tasks that are still running when the dispatcher reaches them; skip the others."""
    operations.require_actor(confirmation, TERMINATE)
    return operations.start(
        verb=TERMINATE, selection=select_running(results), confirmation=confirmation
    )
