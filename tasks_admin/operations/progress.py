"""How far an operation is, and its targets a page at a time."""

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
PAGE = 50
#: Seconds: longer than a dispatcher takes to find out again that the broker is away.
BROKER_AWAY = 20
#: Seconds after which a rate says something.
LONG_ENOUGH = 5
#: For so long a page looks for the answer of a worker that was silent.
HEARD = timedelta(hours=1)
#: Seconds after which a message that nobody takes is worth a word.
UNTAKEN = 30


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Counts, and what they mean."""

    #: (state, its name, how many, percent of all), for the states that occur.
    counts: list[tuple[str, str, int, float]]
    done: int
    total: int
    excluded: list[tuple[str, int]]
    #: Targets that ended in the last minute.
    rate: int
    time_left: timedelta | None
    #: Whether the broker did not take what was last published.
    broker_away: bool
    #: Whether what was published half a minute ago and more is taken by no worker.
    untaken: bool
    #: Whether something may still change.
    changing: bool

    @property
    def percent(self) -> int:
        """How much has an outcome; 100 only when everything has."""
        return self.done * 100 // self.total if self.total else 100


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some targets of an operation."""

    targets: list[Target]
    state: str
    subject: str
    states: list[tuple[str, Any]]
    #: The key after which the next page begins; empty on the last.
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
        done=total - todo,
        total=total,
        excluded=[(label(code), number) for code, number in operation.excluded.items()],
        rate=rate,
        broker_away=bool(todo) and _waits_for_broker(operation),
        untaken=bool(counts[TargetState.QUEUED]) and _waits_for_worker(operation),
        time_left=_time_left(operation, todo, rate),
        changing=not operation.is_finished or _may_be_heard(operation, counts[TargetState.UNKNOWN]),
    )


def _time_left(operation: Operation, todo: int, ended: int) -> timedelta | None:
    """How long it takes at the rate of the last minute; None when nothing can be said."""
    age = (timezone.now() - operation.created_at).total_seconds()
    if operation.state != OperationState.RUNNING or not (todo and ended) or age < LONG_ENOUGH:
        return None
    return timedelta(seconds=round(todo * min(age, 60) / ended))


def _may_be_heard(operation: Operation, unknown: int) -> bool:
    """Whether a worker that did not answer may soon say what became of an order."""
    lately = timezone.now() - operation.created_at < HEARD
    return bool(unknown) and lately and operation.verb in (*WORKER_COMMANDS, *QUEUE_CONSUMPTION)


def _waits_for_worker(operation: Operation) -> bool:
    """Whether workers take nothing: none may run, or none that consumes the queue."""
    before = Now() - timedelta(seconds=UNTAKEN)
    waiting = operation.targets.filter(state=TargetState.QUEUED, queued_at__lt=before)
    if operation.targets.filter(state=TargetState.RUNNING).exists() or not waiting.exists():
        return False
    return not operation.targets.ended_within(UNTAKEN).exists()


def _waits_for_broker(operation: Operation) -> bool:
    """Whether the broker refused something just now: what it refused is due again soon."""
    lately = Now() - timedelta(seconds=BROKER_AWAY)
    return operation.targets.filter(
        finished_at=None, due_at__gt=lately, state=TargetState.WAITING, reason="broker"
    ).exists()


def sentence(counts: Mapping[str, int]) -> str:
    """Counts as words: "12 done, 1 failed"."""
    states = [state for state in TargetState if counts.get(state.value)]
    return pgettext("between counts", ", ").join(
        _("%(count)d %(state)s") % {"count": counts[state.value], "state": state.label}
        for state in states
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
    rows = list(targets[: PAGE + 1])
    _describe(operation, rows[:PAGE])
    return Page(
        targets=rows[:PAGE],
        state=state,
        subject=subject,
        states=list(TargetState.choices),
        next=str(rows[PAGE - 1].pk) if len(rows) > PAGE else "",
    )


def _subjects(operation: Operation, text: str) -> list[str]:
    """What a search means: the subject itself, or a user by name or address."""
    if operation.target_type != TargetType.USER:
        return [text]
    model = get_user_model()
    users = model._default_manager.all()
    named = users.filter(**{model.USERNAME_FIELD: text})
    addressed = users.filter(**{f"{model.get_email_field_name()}__iexact": text})
    if "@" not in text:  # reading all addresses takes a while
        addressed = addressed.none()
    return [text, *(str(user.pk) for user in [*named[:5], *addressed[:5]])]


def _describe(operation: Operation, targets: list[Target]) -> None:
    """Give each target what the page shows: `name`, `why`, and whether it is `there`."""
    names = _names(operation, targets)
    for target in targets:
        target.operation = operation
        target.there = target.subject in names  # type: ignore[attr-defined]
        target.name = names.get(target.subject) or _unnamed(operation, target)  # type: ignore[attr-defined]
        why = [label(target.reason) if target.reason else "", masks.mask_text(target.detail)]
        if target.possibly_duplicated:
            why.append(_("may have been sent twice: a try before ended without a word"))
        target.why = " · ".join(filter(None, why))  # type: ignore[attr-defined]


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
    """The names of the users that are still there, by key."""
    try:
        users = get_user_model()._default_manager.in_bulk([t.subject for t in targets])
    except (ValueError, ValidationError):  # the user model changed its kind of key
        return {}
    return {str(pk): user.get_username() for pk, user in users.items()}
