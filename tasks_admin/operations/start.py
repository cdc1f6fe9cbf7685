"""Start: one transaction that records the operation and freezes its targets."""

import hashlib
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
from tasks_admin.operations.confirmation import Confirmation, require_declared

if TYPE_CHECKING:
    from django.contrib.auth.models import User as Actor

#: Keys read at a time.
BATCH_SIZE = 5000
#: Rows of (subject, lock key).
Rows = QuerySet[Any, tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The targets that an operation would have, and the rows that it would exclude."""

    rows: Rows
    #: The number of excluded rows, by reason.
    excluded: Mapping[str, int]

    def fingerprint(self) -> str:
        """Identify this set of rows. Reads all keys, as a stream."""
        return fingerprint(subject for subject, _key in self.rows.order_by().iterator(BATCH_SIZE))


def selected(queryset: QuerySet[Any], *, subject: Any, lock_key: Any = None) -> Rows:
    """The rows of a queryset as targets; `subject` and `lock_key` are expressions."""
    key = Cast(Value(None), CharField()) if lock_key is None else lock_key
    annotated = queryset.annotate(subject=Cast(subject, CharField()), lock_key=key)
    rows: Rows = annotated.values_list("subject", "lock_key")
    return rows


def single(subject: str, actor: "Actor") -> Selection:
    """The selection of one target that has no row of its own, such as a periodic task."""
    row = get_user_model()._base_manager.filter(pk=actor.pk)
    return Selection(rows=selected(row, subject=Value(subject, CharField())), excluded={})


def count_exclusions(rows: QuerySet[Any]) -> dict[str, int]:
    """The number of excluded rows by their `exclusion_reason`."""
    counts = dict(rows.order_by().values_list("exclusion_reason").annotate(Count("pk")))
    counts.pop("", None)
    return counts


def fingerprint(subjects: Iterable[str]) -> str:
    """Identify a set of subjects, in any order: `COUNT:DIGEST`."""
    count = total = 0
    for count, subject in enumerate(subjects, 1):  # noqa: B007 (the last count is the count)
        total += int.from_bytes(hashlib.sha256(subject.encode()).digest()[:16], "big")
    return f"{count}:{total % 2**128:032x}"


def start(
    *,
    verb: str,
    selection: Selection,
    confirmation: Confirmation | None = None,
    parent: Operation | None = None,
    arguments: dict[str, Any] | None = None,
    may_be_empty: bool = False,
) -> Operation:
    """Record the operation and freeze its targets; only the database is used.

    The second start with the same confirmation returns the first operation. Raises
    `SelectionChanged` when the rows differ from the ones on the page, `NothingToDo` when
    there are none, and `WrongState` for a property that the verb does not declare; nothing is
    recorded then.
    """
    confirmation = confirmation or Confirmation()
    require_declared(verb, confirmation)
    actor, key = confirmation.actor, confirmation.key
    same = Operation.objects.filter(key=key, verb=verb, actor=actor)
    if existing := same.first():
        return existing
    if confirmation.answers:
        arguments = (arguments or {}) | {"answers": dict(confirmation.answers)}
    try:
        with transaction.atomic():
            operation = Operation.objects.create(
                key=key,
                verb=verb,
                actor=actor,
                actor_name=actor.get_username() if actor else "",
                reason=confirmation.reason,
                excluded=dict(selection.excluded),
                parent=parent,
                rate=confirmation.rate,
                canary=confirmation.canary,
                arguments=arguments,
            )
            operation.total = Target.objects.freeze(operation, selection.rows)
            failpoints.reach("after_freeze")
            if confirmation.shown is not None and _frozen(operation) != confirmation.shown:
                raise SelectionChanged(
                    _("The matching rows have changed since the page was shown. Review them again.")
                )
            if not (operation.total or may_be_empty):
                raise NothingToDo(_("Nothing to do: none of the selected rows qualifies."))
            if _needs_approval(operation):
                operation.state = OperationState.PENDING
            operation.save(update_fields=["total", "state"])
    except IntegrityError:
        if existing := same.first():  # the same confirmation, posted concurrently
            return existing
        if not Operation.objects.filter(key=key).exists():
            raise
        text = _("This confirmation was already used for another operation. Select the rows again.")
        raise WrongState(text) from None
    return operation


def _needs_approval(operation: Operation) -> bool:
    """Whether another user must approve it first."""
    limit, verb = settings.APPROVAL_ABOVE, operation.verb_definition
    return bool(verb and verb.approvable and limit is not None and operation.total > limit)


def _frozen(operation: Operation) -> str:
    """The fingerprint of the frozen targets."""
    subjects = operation.targets.order_by().values_list("subject", flat=True)
    return fingerprint(subjects.iterator(BATCH_SIZE))
