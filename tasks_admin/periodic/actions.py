"""What staff can do with periodic tasks."""

from typing import TYPE_CHECKING

from django.db import transaction
from django.utils.translation import gettext as _

from tasks_admin import operations
from tasks_admin.integrations import broker
from tasks_admin.lib import celery_json, masks
from tasks_admin.lib.errors import WrongState
from tasks_admin.lib.reasons import label
from tasks_admin.lib.verbs import DISABLE_PERIODIC, ENABLE_PERIODIC, RUN_PERIODIC
from tasks_admin.models import Operation
from tasks_admin.operations import Confirmation, Outcome
from tasks_admin.periodic.overview import one, table

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def run(*, name: str, actor: "User", reason: str) -> Operation:
    """Queue it once, now, with the arguments of its schedule; the database alone is touched.

    Raises `WrongState` when it is not known what would be queued, or when the task could do twice
    what it does: it is published as any target is, again if need be.
    """
    operations.require(actor, RUN_PERIODIC)
    seen = one(name)
    if seen is None or seen.entry is None:
        text = _("Nothing was done: what %(name)s would queue is not known here.")
        raise WrongState(text % {"name": name})
    entry = seen.entry
    if entry.task not in broker.protected_tasks():
        raise WrongState(
            _("Nothing was done: %(task)s %(why)s.")
            % {"task": entry.task, "why": label(broker.unprotected_reason(entry.task))}
        )
    call = {
        "task": entry.task,
        "args": celery_json.encode(entry.args),
        "kwargs": celery_json.encode(entry.kwargs),
        "queue": entry.queue,
    }
    shown = {"task": entry.task, "args": entry.args, "kwargs": entry.kwargs}
    changes = [
        {
            "name": key,
            "old": "",
            "new": value if key == "task" else celery_json.readable(masks.mask(value)),
        }
        for key, value in shown.items()
    ]
    return operations.start(
        verb=RUN_PERIODIC,
        selection=operations.single(name, actor),
        confirmation=Confirmation(actor=actor, reason=reason),
        arguments={"call": call, "changes": changes},
    )


def enable(*, name: str, actor: "User", reason: str) -> Operation:
    """Let beat queue it again at its times; only where django-celery-beat keeps the schedule."""
    return _switch(ENABLE_PERIODIC, name, actor, reason, enabled=True)


def disable(*, name: str, actor: "User", reason: str) -> Operation:
    """Let beat queue it no more, until it is enabled."""
    return _switch(DISABLE_PERIODIC, name, actor, reason, enabled=False)


def _switch(verb: str, name: str, actor: "User", reason: str, *, enabled: bool) -> Operation:
    operations.require(actor, verb)
    model = table()
    row = model.objects.filter(name=name).first() if model is not None else None
    if row is None:
        text = _(
            "Nothing was done: %(name)s stands in the project's settings, or is not known. "
            "django-celery-beat lets periodic tasks be enabled and disabled."
        )
        raise WrongState(text % {"name": name})
    with transaction.atomic():
        before, row.enabled = row.enabled, enabled
        row.save(update_fields=["enabled", "date_changed"])  # whose signal tells beat
        said = "" if before == enabled else f"{before} → {enabled}"
        done = [Outcome(subject=name, detail=said)]
        return operations.record(verb=verb, actor=actor, reason=reason, outcomes=done)
