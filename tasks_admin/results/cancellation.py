"""Revokes: what staff can do about tasks that wait, and about those that run."""

import uuid
from typing import TYPE_CHECKING, Any

from django.db.models import Case, CharField, F, QuerySet, Value, When
from django.db.models.functions import Cast

from tasks_admin import operations
from tasks_admin.lib.verbs import REVOKE, TERMINATE
from tasks_admin.models import Operation
from tasks_admin.operations import Selection
from tasks_admin.results.revocations import UNBEGUN
from tasks_admin.results.terminations import UNENDED

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def select(results: QuerySet[Any]) -> Selection:
    """Say which of these tasks would be revoked, and how many are left out for which reason."""
    exclusion_reason = Case(
        When(status__in=UNBEGUN, then=Value("")),
        When(status="STARTED", then=Value("begun")),
        default=Value("ended"),
        output_field=CharField(),
    )
    return _selected(results.annotate(exclusion_reason=exclusion_reason))


def select_running(results: QuerySet[Any]) -> Selection:
    """Say which of these tasks may be running: what is over is left out."""
    unended = When(status__in=UNENDED, then=Value(""))
    exclusion_reason = Case(unended, default=Value("ended"), output_field=CharField())
    return _selected(results.annotate(exclusion_reason=exclusion_reason))


def _selected(with_exclusion_reason: QuerySet[Any]) -> Selection:
    rows = with_exclusion_reason.filter(exclusion_reason="").annotate(
        subject=F("task_id"), lock_key=Cast(Value(None), CharField())
    )
    return Selection(
        rows=rows.values_list("subject", "lock_key"),
        excluded=operations.count_exclusions(with_exclusion_reason),
    )


def revoke(
    *,
    results: QuerySet[Any],
    actor: "User",
    reason: str,
    key: uuid.UUID | None = None,
    shown: str | None = None,
    rate: int | None = None,
    canary: bool = False,
) -> Operation:
    """Keep those of these tasks from running that have not begun, whatever is restarted."""
    operations.require(actor, REVOKE)
    return operations.start(
        verb=REVOKE,
        selection=select(results),
        actor=actor,
        reason=reason,
        key=key,
        shown=shown,
        rate=rate,
        canary=canary,
    )


def terminate(
    *,
    results: QuerySet[Any],
    actor: "User",
    reason: str,
    key: uuid.UUID | None = None,
    shown: str | None = None,
    rate: int | None = None,
    canary: bool = False,
) -> Operation:
    """End those of these tasks that run when their turn comes; leave alone what does not."""
    operations.require(actor, TERMINATE)
    return operations.start(
        verb=TERMINATE,
        selection=select_running(results),
        actor=actor,
        reason=reason,
        key=key,
        shown=shown,
        rate=rate,
        canary=canary,
    )
