"""What can be told of the workers: what they answer, and of those who don't, what is known."""

import contextlib
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import TextChoices
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tasks_admin.integrations import control
from tasks_admin.integrations.control import Snapshot, WorkerView
from tasks_admin.lib.errors import BrokerUnreachable
from tasks_admin.models import Worker
from tasks_admin.models.workers import SILENT, page_of

#: Workers on the page: the newest that were seen.
MOST = 500


class State(TextChoices):
    """How a worker is."""

    ONLINE = "online", _("online")
    DEAF = "deaf", _("consumes nothing")
    PAUSED = "paused", _("its queues are paused")
    SILENT = "silent", _("silent")
    STOPPED = "stopped", _("stopped")
    FOREIGN = "foreign", _("without the console")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One worker. `view` is what it says now, or what it last wrote down."""

    name: str
    state: State
    view: WorkerView
    row: Worker | None
    answered: bool

    @property
    def url(self) -> str:
        """Its page."""
        return page_of(self.name)

    @property
    def duplicate_name(self) -> bool:
        """Whether two workers of this name are at work."""
        at = self.row.duplicate_seen_at if self.row else None
        return at is not None and timezone.now() - at < timedelta(seconds=2 * SILENT)

    @property
    def alive(self) -> bool:
        """Whether it answered, or gave a sign of life lately: it may be too busy to answer."""
        age = self.sign_age
        lately = age is not None and age < timedelta(seconds=SILENT)
        return self.answered or (lately and self.state != State.STOPPED)

    @property
    def sign_age(self) -> timedelta | None:
        """How long ago it gave a sign of life."""
        return timezone.now() - self.row.last_seen_at if self.row else None


@dataclass(frozen=True, kw_only=True)
class Overview:
    """All workers, how old their answers are in seconds, and why none could be had."""

    workers: list[Seen]
    age: float = 0.0
    trouble: str = ""

    @property
    def answered(self) -> int:
        """How many answered."""
        return sum(seen.answered for seen in self.workers)


def overview() -> Overview:
    """All workers that answer, or that were seen within the last days."""
    rows = {row.name: row for row in Worker.objects.order_by("-last_seen_at")[:MOST]}
    try:
        snapshot = control.snapshot()
    except BrokerUnreachable as error:
        silent = [_seen(name, None, row) for name, row in sorted(rows.items())]
        return Overview(workers=silent, trouble=str(error))
    return Overview(workers=_all(snapshot, rows), age=time.monotonic() - snapshot.taken_at)


def look_around() -> None:
    """See which workers give no sign of life and answer; who asks just once waits for that."""
    with contextlib.suppress(BrokerUnreachable):  # the overview says so
        control.unmanaged.unmanaged_workers.look()


def one(name: str) -> tuple[Seen | None, Overview]:
    """The worker of this name, if anything is known of it, and what else there is."""
    known = overview()
    return next((seen for seen in known.workers if seen.name == name), None), known


def _all(snapshot: Snapshot, rows: dict[str, Worker]) -> list[Seen]:
    views = {view.name: view for view in snapshot.workers}
    return [_seen(name, views.get(name), rows.get(name)) for name in sorted({*views, *rows})]


def _seen(name: str, view: WorkerView | None, row: Worker | None) -> Seen:
    if view is not None:
        return Seen(name=name, state=_state(view), view=view, row=row, answered=True)
    state = State.STOPPED if row is not None and row.stopped_at else State.SILENT
    return Seen(name=name, state=state, view=_last(name, row), row=row, answered=False)


def _state(view: WorkerView) -> State:
    """How a worker is that answers."""
    if view.foreign:
        return State.FOREIGN
    if view.queues:
        return State.ONLINE
    return State.PAUSED if view.paused_queues else State.DEAF


def _last(name: str, row: Worker | None) -> WorkerView:
    """What it last wrote down, as far as that makes sense."""
    last_snapshot: Any = row.last_snapshot if row else {}
    return control.view(name, last_snapshot) or WorkerView(name=name)
