"""The actions that staff can perform on queues."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils.translation import gettext as _

from tasks_admin import operations, workers
from tasks_admin.integrations import broker
from tasks_admin.lib import celery_json, counts, masks
from tasks_admin.lib.errors import WrongState
from tasks_admin.lib.verbs import PAUSE_QUEUE, PEEK_QUEUE, PURGE_QUEUE, RESTORE_QUEUE, RESUME_QUEUE
from tasks_admin.models import Operation, QuarantinedMessage, Queue
from tasks_admin.operations import Confirmation, Outcome
from tasks_admin.queues.overview import clear_cache, find, names
from tasks_admin.workers import State, commands

if TYPE_CHECKING:
    from django.contrib.auth.models import User

#: Messages that a peek shows, and purges that a page lists.
MAX_PEEKED, MAX_PURGES = 20, 50
#: Characters of the arguments that a peek shows.
MAX_ARGUMENTS_LENGTH = 2000


@dataclass(frozen=True, kw_only=True)
class QueuedMessage:
    """One of the next messages of a queue, masked."""

    task_id: str
    task: str
    priority: int
    #: None: the message is not JSON, and its body is not read.
    arguments: tuple[list[Any], dict[str, Any]] | None
    content_type: str
    size: int

    @property
    def arguments_text(self) -> str:
        """The arguments as in a call, shortened."""
        args, kwargs = self.arguments or ([], {})
        pairs = [f"{name}={celery_json.readable(value)}" for name, value in kwargs.items()]
        text = ", ".join([*(celery_json.readable(value) for value in args), *pairs])
        return text if len(text) <= MAX_ARGUMENTS_LENGTH else f"{text[:MAX_ARGUMENTS_LENGTH]}…"


@dataclass(frozen=True, kw_only=True)
class Purge:
    """A purge, and the number of restorable messages (`LowerBound` above the bound)."""

    operation: Operation
    restorable: int


def pause(*, name: str, actor: "User", reason: str) -> Operation:
    """Stop all managed workers from consuming this queue until it is resumed.

    This includes workers that start later. Tasks already taken still run. The outcome is recorded
    for each worker.
    """
    return _set_paused(PAUSE_QUEUE, name, actor, reason, paused=True)


def resume(*, name: str, actor: "User", reason: str) -> Operation:
    """Let the workers that consumed this queue, or are configured to, consume it again."""
    return _set_paused(RESUME_QUEUE, name, actor, reason, paused=False)


def purge(*, name: str, actor: "User", reason: str) -> Operation:
    """Move the waiting messages of this queue to quarantine, from which they can be restored.

    The dispatcher does the work; the request uses only the database.
    """
    operations.require(actor, PURGE_QUEUE)
    _require_known(name)
    return _start(PURGE_QUEUE, name, actor, reason)


def restore(*, operation: Operation, actor: "User", reason: str) -> Operation:
    """Put the messages of a purge back into their queue, byte for byte."""
    operations.require(actor, RESTORE_QUEUE)
    row = QuarantinedMessage.objects.filter(operation=operation).first()
    if operation.verb != PURGE_QUEUE or not operation.is_finished or row is None:
        raise WrongState(
            _("%(operation)s has no messages to restore: it has not finished, or none are left.")
            % {"operation": operation}
        )
    with transaction.atomic():
        Operation.objects.select_for_update().get(pk=operation.pk)
        if operation.children.filter(verb=RESTORE_QUEUE, finished_at=None).exists():
            text = _("%(operation)s is already being restored.")
            raise WrongState(text % {"operation": operation})
        return _start(RESTORE_QUEUE, row.queue, actor, reason, parent=operation)


def peek(*, name: str, actor: "User", reason: str = "") -> list[QueuedMessage]:
    """Return the next messages of this queue, masked. The access is recorded."""
    operations.require(actor, PEEK_QUEUE)
    _require_known(name)
    payloads = broker.peek(name, MAX_PEEKED)
    outcome = Outcome(subject=name, detail=str(len(payloads)))
    operations.record(verb=PEEK_QUEUE, actor=actor, reason=reason, outcomes=[outcome])
    return [
        QueuedMessage(
            task_id=masks.mask_text(payload.task_id),
            task=masks.mask_text(payload.task),
            priority=payload.priority,
            arguments=masks.mask(payload.arguments),
            content_type=payload.content_type,
            size=len(payload.raw),
        )
        for payload in payloads
    ]


#: The actions on a queue by name, for pages and commands.
ACTIONS: dict[str, Callable[..., Operation]] = {
    PAUSE_QUEUE: pause,
    RESUME_QUEUE: resume,
    PURGE_QUEUE: purge,
}


def purges(name: str) -> list[Purge]:
    """Return the latest purges of this queue with messages that can be restored."""
    kept = QuarantinedMessage.objects.filter(operation=OuterRef("pk"), queue=name)
    found = Operation.objects.filter(Exists(kept), verb=PURGE_QUEUE).order_by("-pk")[:MAX_PURGES]
    return [
        Purge(operation=one, restorable=counts.bounded_count(one.quarantined.all()))
        for one in found
    ]


def _set_paused(verb: str, name: str, actor: "User", reason: str, *, paused: bool) -> Operation:
    operations.require(actor, verb)
    _require_known(name)
    affected = [
        worker.name
        for worker in workers.overview().workers
        if worker.state not in {State.STOPPED, State.UNMANAGED}
        and name in [*worker.view.queues, *worker.view.paused_queues]
    ]
    with transaction.atomic():
        operation = commands.record(
            verb=verb, names=affected, actor=actor, reason=reason, arguments={"queue": name}
        )
        Queue.objects.set_paused(name, paused, revision=operation.pk)
        all_paused, revision = Queue.objects.paused_names()
    commands.send(operation, {"paused": all_paused, "revision": revision}, names=affected)
    clear_cache()
    return operation


def _start(
    verb: str, name: str, actor: "User", reason: str, parent: Operation | None = None
) -> Operation:
    """Start an operation on one queue, which the dispatcher executes."""
    changes = [{"name": "queue", "old": "", "new": name}]
    return operations.start(
        verb=verb,
        selection=operations.single(name, actor),
        confirmation=Confirmation(actor=actor, reason=reason),
        parent=parent,
        arguments={"changes": changes},
    )


def _require_known(name: str) -> None:
    if name not in names() and find(name)[0] is None:
        text = _("Nothing was changed: unknown queue: %(queue)s.")
        raise WrongState(text % {"queue": name})
