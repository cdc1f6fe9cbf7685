"""Starting: one transaction that records the operation and freezes its targets."""

import hashlib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction
from django.db.models import CharField, Count, QuerySet, Value
from django.db.models.functions import Cast
from django.utils.translation import gettext as _

from tasks_admin.lib import failpoints
from tasks_admin.lib.conf import settings
from tasks_admin.lib.errors import NothingToDo, SelectionChanged, WrongState
from tasks_admin.models.operations import Operation, OperationState
from tasks_admin.models.targets import Target

if TYPE_CHECKING:
    from django.contrib.auth.models import User as Actor

#: Keys read at a time.
CHUNK = 5000
#: Rows of (subject, hold).
Rows = QuerySet[Any, tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What an act is about to be done to."""

    rows: Rows
    #: How many are left out, by reason.
    excluded: Mapping[str, int]

    def fingerprint(self) -> str:
        """Name this very set of rows. Reads the keys, one by one."""
        return fingerprint(subject for subject, _hold in self.rows.order_by().iterator(CHUNK))


def single(subject: str, actor: "Actor") -> Selection:
    """The selection of one thing that has no row of its own."""
    row = get_user_model()._base_manager.filter(pk=actor.pk)
    columns = row.annotate(
        subject=Value(subject, CharField()), lock_key=Cast(Value(None), CharField())
    )
    return Selection(rows=columns.values_list("subject", "lock_key"), excluded={})


def count_exclusions(with_exclusion_reason: QuerySet[Any]) -> dict[str, int]:
    """How many of these rows are left out, by the reason that stands in their `exclusion`."""
    counts = dict(
        with_exclusion_reason.order_by().values_list("exclusion_reason").annotate(Count("pk"))
    )
    counts.pop("", None)
    return counts


def fingerprint(subjects: Iterable[str]) -> str:
    """Name a set of subjects, in whatever order they come: `COUNT:DIGEST`."""
    count = total = 0
    for count, subject in enumerate(subjects, 1):  # noqa: B007 (the last count is the count)
        total += int.from_bytes(hashlib.sha256(subject.encode()).digest()[:16], "big")
    return f"{count}:{total % 2**128:032x}"


def start(
    *,
    verb: str,
    selection: Selection,
    actor: "Actor | None" = None,
    reason: str = "",
    key: uuid.UUID | None = None,
    shown: str | None = None,
    parent: Operation | None = None,
    rate: int | None = None,
    canary: bool = False,
    arguments: dict[str, Any] | None = None,
    may_be_empty: bool = False,
) -> Operation:
    """Record the operation and freeze its targets; the database alone is touched.

    `key` names the confirmation: the second start with the same key returns the first operation.
    `shown` is the fingerprint of what the actor saw. Raises `SelectionChanged` when the rows are
    no longer those, and `NothingToDo` when there are none; nothing is recorded then.
    """
    key = key or uuid.uuid4()
    same = Operation.objects.filter(key=key, verb=verb, actor=actor)
    if existing := same.first():
        return existing
    try:
        with transaction.atomic():
            operation = Operation.objects.create(
                key=key,
                verb=verb,
                actor=actor,
                actor_name=actor.get_username() if actor else "",
                reason=reason,
                excluded=dict(selection.excluded),
                parent=parent,
                rate=rate,
                canary=canary,
                arguments=arguments,
            )
            operation.total = Target.objects.freeze(operation, selection.rows)
            failpoints.reach("after_freeze")
            if shown is not None and _frozen(operation) != shown:
                raise SelectionChanged(
                    _("The rows that match have changed since the page was shown. Look again.")
                )
            if not (operation.total or may_be_empty):
                raise NothingToDo(_("Nothing is left to do: every row was left out."))
            if _needs_approval(operation):
                operation.state = OperationState.PENDING
            operation.save(update_fields=["total", "state"])
    except IntegrityError:
        if existing := same.first():  # the same confirmation, posted at the same moment
            return existing
        if not Operation.objects.filter(key=key).exists():
            raise
        text = _("This confirmation was used for something else. Select again.")
        raise WrongState(text) from None
    return operation


def _needs_approval(operation: Operation) -> bool:
    """Whether a second person must look at it first."""
    most = settings.APPROVAL_ABOVE
    staff = operation.verb_definition is not None and operation.verb_definition.permission
    return bool(staff and most is not None and operation.total > most)


def _frozen(operation: Operation) -> str:
    """The fingerprint of what was frozen: what was shown, unless the rows changed since."""
    subjects = operation.targets.order_by().values_list("subject", flat=True)
    return fingerprint(subjects.iterator(CHUNK))
