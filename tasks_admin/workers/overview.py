"""The overview of workers: the replies of those that respond, and the last known data of others."""

import contextlib
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import TextChoices
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tasks_admin.integrations import control
from tasks_admin.integrations.control import WorkerView
from tasks_admin.lib.errors import BrokerUnreachable
from tasks_admin.models import Worker
from tasks_admin.models.workers import HEARTBEAT_TIMEOUT, worker_url

#: The overview shows the workers with the latest heartbeats.
MAX_WORKERS = 500


class State(TextChoices):
    """The state of a worker."""

    ONLINE = "online", _("online")
    NOT_CONSUMING = "not_consuming", _("not consuming")
    PAUSED = "paused", _("all queues paused")
    NOT_RESPONDING = "not_responding", _("not responding")
    STOPPED = "stopped", _("stopped")
    UNMANAGED = "unmanaged", _("unmanaged")


@dataclass(frozen=True, kw_only=True)
class WorkerStatus:
    """The state of one worker. `view` is its reply, or else its last stored snapshot."""

    name: str
    state: State
    view: WorkerView
    #: The row that the worker writes itself; None for an unmanaged worker.
    row: Worker | None
    #: Whether the worker replied to the last snapshot request.
    replied: bool

    @property
    def url(self) -> str:
        """The URL of the worker's page."""
        return worker_url(self.name)

    @property
    def duplicate_name(self) -> bool:
        """Whether two workers of this name are running."""
        at = self.row.duplicate_seen_at if self.row else None
        return at is not None and timezone.now() - at < timedelta(seconds=2 * HEARTBEAT_TIMEOUT)

    @property
    def is_alive(self) -> bool:
        """Whether it replied or has a recent heartbeat: a busy worker may not reply in time."""
        age = self.last_seen_age
        recent = age is not None and age < timedelta(seconds=HEARTBEAT_TIMEOUT)
        return self.replied or (recent and self.state != State.STOPPED)

    @property
    def last_seen_age(self) -> timedelta | None:
        """The time since its last heartbeat."""
        return timezone.now() - self.row.last_seen_at if self.row else None


@dataclass(frozen=True, kw_only=True)
class Overview:
    """All known workers, the age of their replies in seconds, and the broker's error, if any."""

    workers: list[WorkerStatus]
    age: float = 0.0
    error: str = ""

    @property
    def replied(self) -> int:
        """The number of workers that replied."""
        return sum(worker.replied for worker in self.workers)


def overview() -> Overview:
    """Return the workers that reply, and those with a heartbeat within the last days."""
    rows = {row.name: row for row in Worker.objects.order_by("-last_seen_at")[:MAX_WORKERS]}
    try:
        snapshot = control.snapshot()
    except BrokerUnreachable as error:
        stored = [_status(name, None, row) for name, row in sorted(rows.items())]
        return Overview(workers=stored, error=str(error))
    views = {view.name: view for view in snapshot.workers}
    found = [_status(name, views.get(name), rows.get(name)) for name in sorted({*views, *rows})]
    return Overview(workers=found, age=time.monotonic() - snapshot.taken_at)


def discover_unmanaged() -> None:
    """Look for workers without a heartbeat, and wait for their replies.

    The web process discovers them in the background; a command that runs once has to wait.
    """
    with contextlib.suppress(BrokerUnreachable):  # the overview reports it
        control.unmanaged.discovered_workers.discover()


def find(name: str) -> tuple[WorkerStatus | None, Overview]:
    """Return the worker with this name, or None if it is not known, and the whole overview."""
    known = overview()
    return next((worker for worker in known.workers if worker.name == name), None), known


def _status(name: str, view: WorkerView | None, row: Worker | None) -> WorkerStatus:
    if view is not None:
        return WorkerStatus(name=name, state=_state(view), view=view, row=row, replied=True)
    state = State.STOPPED if row is not None and row.stopped_at else State.NOT_RESPONDING
    return WorkerStatus(
        name=name, state=state, view=_stored_view(name, row), row=row, replied=False
    )


def _state(view: WorkerView) -> State:
    """Return the state of a worker that replied."""
    if view.unmanaged:
        return State.UNMANAGED
    if view.queues:
        return State.ONLINE
    return State.PAUSED if view.paused_queues else State.NOT_CONSUMING


def _stored_view(name: str, row: Worker | None) -> WorkerView:
    """Return the last stored snapshot, or an empty view if it is invalid."""
    last_snapshot: Any = row.last_snapshot if row else {}
    return control.parse_snapshot(name, last_snapshot) or WorkerView(name=name)
