"""What staff can do with queues."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils.translation import gettext as _

from tasks_admin import operations
from tasks_admin.integrations import broker
from tasks_admin.lib import celery_json, counts, masks
from tasks_admin.lib.errors import WrongState
from tasks_admin.lib.verbs import PAUSE_QUEUE, PEEK_QUEUE, PURGE_QUEUE, RESTORE_QUEUE, RESUME_QUEUE
from tasks_admin.models import Operation, QuarantinedMessage, Queue
from tasks_admin.operations import Confirmation, Outcome
from tasks_admin.queues.overview import forget, names, one
from tasks_admin.workers import State, commands, overview

if TYPE_CHECKING:
    from django.contrib.auth.models import User

#: Messages that one look shows, and purges that a page lists.
NEXT, MOST = 20, 50
#: Characters of arguments that a look shows.
LONGEST = 2000


@dataclass(frozen=True, kw_only=True)
class Next:
    """A message that will be taken soon, masked."""

    task_id: str
    task: str
    priority: int
    #: None: they are no JSON, and nothing else is read.
    arguments: tuple[list[Any], dict[str, Any]] | None
    content_type: str
    size: int

    @property
    def shown(self) -> str:
        """The arguments as a person reads them, the beginning of long ones."""
        args, kwargs = self.arguments or ([], {})
        pairs = [f"{name}={celery_json.readable(value)}" for name, value in kwargs.items()]
        text = ", ".join([*(celery_json.readable(value) for value in args), *pairs])
        return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


@dataclass(frozen=True, kw_only=True)
class Quarantine:
    """What one purge moved, and how much of it is left; `counts.OrMore` beyond the bound."""

    operation: Operation
    left: int


def pause(*, name: str, actor: "User", reason: str) -> Operation:
    """Let no worker consume this queue, now or when it is started, until it is resumed.

    What workers have taken from it already is still run. The outcome is told for each worker.
    """
    return _decide(PAUSE_QUEUE, name, actor, reason, paused=True)


def resume(*, name: str, actor: "User", reason: str) -> Operation:
    """Let those workers consume this queue again that did before, or would have."""
    return _decide(RESUME_QUEUE, name, actor, reason, paused=False)


def purge(*, name: str, actor: "User", reason: str) -> Operation:
    """Move what waits in this queue to quarantine, from which it can be restored.

    The dispatcher does it; the click touches the database alone.
    """
    operations.require(actor, PURGE_QUEUE)
    _known(name)
    return _begin(PURGE_QUEUE, name, actor, reason)


def restore(*, operation: Operation, actor: "User", reason: str) -> Operation:
    """Put back into its queue what a purge moved, byte for byte."""
    operations.require(actor, RESTORE_QUEUE)
    row = QuarantinedMessage.objects.filter(operation=operation).first()
    if operation.verb != PURGE_QUEUE or not operation.is_finished or row is None:
        raise WrongState(
            _("%(operation)s has nothing that could be restored (yet, or any more).")
            % {"operation": operation}
        )
    with transaction.atomic():
        Operation.objects.select_for_update().get(pk=operation.pk)
        if operation.children.filter(verb=RESTORE_QUEUE, finished_at=None).exists():
            text = _("%(operation)s is being restored already.")
            raise WrongState(text % {"operation": operation})
        return _begin(RESTORE_QUEUE, row.queue, actor, reason, parent=operation)


def look_into(*, name: str, actor: "User", reason: str = "") -> list[Next]:
    """The next messages of this queue, masked. Who looked is recorded."""
    operations.require(actor, PEEK_QUEUE)
    _known(name)
    payloads = broker.peek(name, NEXT)
    looked = [Outcome(subject=name, detail=str(len(payloads)))]
    operations.record(verb=PEEK_QUEUE, actor=actor, reason=reason, outcomes=looked)
    return [
        Next(
            task_id=masks.mask_text(payload.task_id),
            task=masks.mask_text(payload.task),
            priority=payload.priority,
            arguments=masks.mask(payload.arguments),
            content_type=payload.content_type,
            size=len(payload.raw),
        )
        for payload in payloads
    ]


def quarantines(name: str) -> list[Quarantine]:
    """The newest purges of this queue of which something can be restored."""
    kept = QuarantinedMessage.objects.filter(operation=OuterRef("pk"), queue=name)
    found = Operation.objects.filter(Exists(kept), verb=PURGE_QUEUE).order_by("-pk")[:MOST]
    return [Quarantine(operation=one, left=counts.bounded(one.quarantined.all())) for one in found]


def _decide(verb: str, name: str, actor: "User", reason: str, *, paused: bool) -> Operation:
    operations.require(actor, verb)
    _known(name)
    concerned = [
        seen.name
        for seen in overview().workers
        if seen.state not in {State.STOPPED, State.UNMANAGED}
        and name in [*seen.view.queues, *seen.view.paused_queues]
    ]
    with transaction.atomic():
        operation = commands.record(
            verb=verb, names=concerned, actor=actor, reason=reason, arguments={"queue": name}
        )
        Queue.objects.set_paused(name, paused, revision=operation.pk)
        every, revision = Queue.objects.paused_names()
    commands.send(operation, {"paused": every, "revision": revision}, names=concerned)
    forget()
    return operation


def _begin(
    verb: str, name: str, actor: "User", reason: str, parent: Operation | None = None
) -> Operation:
    """Start an operation that is about one queue; the dispatcher carries it out."""
    changes = [{"name": "queue", "old": "", "new": name}]
    return operations.start(
        verb=verb,
        selection=operations.single(name, actor),
        confirmation=Confirmation(actor=actor, reason=reason),
        parent=parent,
        arguments={"changes": changes},
    )


def _known(name: str) -> None:
    if name not in names() and one(name)[0] is None:
        text = _("Nothing was done: no queue %(queue)s is known.")
        raise WrongState(text % {"queue": name})
