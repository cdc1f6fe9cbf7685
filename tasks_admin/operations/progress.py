"""The progress of an operation, and its targets a page at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from tasks_admin.lib import masks
from tasks_admin.lib.reasons import label
from tasks_admin.lib.verbs import QUEUE_CONSUMPTION, WORKER_COMMANDS, TargetType
from tasks_admin.models import FailureGroup, Operation, Target
from tasks_admin.models.operations import OperationState
from tasks_admin.models.targets import OPEN, TargetState

#: Targets on a page.
PAGE_SIZE = 50
#: Seconds; longer than the interval at which a dispatcher tries the broker again.
BROKER_RETRY_WINDOW = 20
#: Seconds that an operation must have run before its rate is meaningful.
MIN_RATE_AGE = 5
#: How long a page waits for the outcome of a worker that did not reply.
LATE_REPLY_TIMEOUT = timedelta(hours=1)
#: Seconds until a queued target that no worker has claimed causes a warning.
UNCLAIMED_AFTER = 30


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The counts of an operation, and the figures and warnings derived from them."""

    #: (state, its label, number, percent of all), for the states that occur.
    counts: list[tuple[str, str, int, float]]
    #: Targets with an outcome.
    finished: int
    total: int
    excluded: list[tuple[str, int]]
    #: Targets that finished in the last minute.
    rate: int
    time_left: timedelta | None
    #: Whether the broker did not accept the latest messages.
    broker_unavailable: bool
    #: Whether no worker claims targets that were published `UNCLAIMED_AFTER` ago.
    unclaimed: bool
    #: Whether the operation or the outcome of a target may still change.
    changing: bool

    @property
    def percent(self) -> int:
        """The share with an outcome; 100 only when every target has one."""
        return self.finished * 100 // self.total if self.total else 100


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page of an operation's targets."""

    targets: list[Target]
    state: str
    subject: str
    states: list[tuple[str, Any]]
    #: The key after which the next page begins; empty on the last page.
    next: str


def of(operation: Operation) -> Progress:
    """Count the targets of an operation."""
    counts = operation.counts()
    total = sum(counts.values())
    todo = sum(counts[state] for state in OPEN)
    rate = 0
    if todo:
        rate = operation.targets.ended_within(60).count()
    return Progress(
        counts=[
            (state.value, str(state.label), counts[state], counts[state] * 100 / total)
            for state in TargetState
            if counts[state]
        ],
        finished=total - todo,
        total=total,
        excluded=[(label(code), number) for code, number in operation.excluded.items()],
        rate=rate,
        broker_unavailable=bool(todo) and _waits_for_broker(operation),
        unclaimed=bool(counts[TargetState.QUEUED]) and _waits_for_worker(operation),
        time_left=_time_left(operation, todo, rate),
        changing=not operation.is_finished
        or _awaits_late_reply(operation, counts[TargetState.UNKNOWN]),
    )


def _time_left(operation: Operation, todo: int, ended: int) -> timedelta | None:
    """The time left at the rate of the last minute; None when it cannot be estimated."""
    age = (timezone.now() - operation.created_at).total_seconds()
    if operation.state != OperationState.RUNNING or not (todo and ended) or age < MIN_RATE_AGE:
        return None
    return timedelta(seconds=round(todo * min(age, 60) / ended))


def _awaits_late_reply(operation: Operation, unknown: int) -> bool:
    """Whether a worker that did not reply may still report the outcome of a command."""
    recent = timezone.now() - operation.created_at < LATE_REPLY_TIMEOUT
    return bool(unknown) and recent and operation.verb in (*WORKER_COMMANDS, *QUEUE_CONSUMPTION)


def _waits_for_worker(operation: Operation) -> bool:
    """Whether no worker claims targets: none is running, or none consumes the queue."""
    before = Now() - timedelta(seconds=UNCLAIMED_AFTER)
    waiting = operation.targets.filter(state=TargetState.QUEUED, queued_at__lt=before)
    if operation.targets.filter(state=TargetState.RUNNING).exists() or not waiting.exists():
        return False
    return not operation.targets.ended_within(UNCLAIMED_AFTER).exists()


def _waits_for_broker(operation: Operation) -> bool:
    """Whether the broker has just refused messages; they are due again soon."""
    since = Now() - timedelta(seconds=BROKER_RETRY_WINDOW)
    return operation.targets.filter(
        finished_at=None, due_at__gt=since, state=TargetState.WAITING, reason="broker"
    ).exists()


def sentence(counts: Mapping[str, int], *, done: Any = TargetState.DONE.label) -> str:
    """Counts as text: "2,103 done, 1 failed"; `done` is the word for that state."""
    labels = dict(TargetState.choices) | {TargetState.DONE.value: done}
    return pgettext("between counts", ", ").join(
        _("%(count)s %(state)s") % {"count": f"{counts[state]:,}", "state": state_label}
        for state, state_label in labels.items()
        if counts.get(state)
    )


def page(operation: Operation, *, state: str = "", after: str = "", subject: str = "") -> Page:
    """A page of targets in the order they were frozen, of one state or of one target."""
    targets = operation.targets.order_by("pk")
    if state in TargetState.values:
        targets = targets.filter(state=state)
    if subject:
        targets = targets.filter(subject__in=_subjects(operation, subject))
    if after.isdecimal() and len(after) < 19:
        targets = targets.filter(pk__gt=int(after))
    rows = list(targets[: PAGE_SIZE + 1])
    _describe(operation, rows[:PAGE_SIZE])
    return Page(
        targets=rows[:PAGE_SIZE],
        state=state,
        subject=subject,
        states=list(TargetState.choices),
        next=str(rows[PAGE_SIZE - 1].pk) if len(rows) > PAGE_SIZE else "",
    )


def _subjects(operation: Operation, text: str) -> list[str]:
    """The subjects that a search matches: the text itself, and users by name or email address."""
    if operation.target_type != TargetType.USER:
        return [text]
    model = get_user_model()
    users = model._default_manager.all()
    named = users.filter(**{model.USERNAME_FIELD: text})
    addressed = users.filter(**{f"{model.get_email_field_name()}__iexact": text})
    if "@" not in text:  # the query would read every address
        addressed = addressed.none()
    return [text, *(str(user.pk) for user in [*named[:5], *addressed[:5]])]


def _describe(operation: Operation, targets: list[Target]) -> None:
    """Set on each target what the page shows: `name`, `details`, and whether it `exists`."""
    names = _names(operation, targets)
    for target in targets:
        target.operation = operation
        target.exists = target.subject in names  # type: ignore[attr-defined]
        target.name = names.get(target.subject) or _unnamed(operation, target)  # type: ignore[attr-defined]
        details = [label(target.reason) if target.reason else "", masks.mask_text(target.detail)]
        if target.possibly_duplicated:
            details.append(
                _("may have been sent twice: an earlier attempt ended without an outcome")
            )
        target.details = " · ".join(filter(None, details))  # type: ignore[attr-defined]


def _names(operation: Operation, targets: list[Target]) -> dict[str, str]:
    """The names of the targets that still exist, by subject."""
    target_type = operation.target_type
    if target_type == TargetType.USER:
        return _usernames(targets)
    if target_type == TargetType.FAILURE_GROUP:
        groups = FailureGroup.objects.in_bulk([int(target.subject) for target in targets])
        return {str(pk): str(group) for pk, group in groups.items()}
    return {target.subject: target.subject for target in targets}


def _unnamed(operation: Operation, target: Target) -> str:
    if operation.target_type != TargetType.USER:
        return target.subject
    return _("account %(key)s (deleted)") % {"key": target.subject}


def _usernames(targets: list[Target]) -> dict[str, str]:
    """The names of the users that still exist, by key."""
    try:
        users = get_user_model()._default_manager.in_bulk([t.subject for t in targets])
    except (ValueError, ValidationError):  # the user model changed its kind of key
        return {}
    return {str(pk): user.get_username() for pk, user in users.items()}
