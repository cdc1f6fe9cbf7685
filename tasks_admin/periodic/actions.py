"""The actions that staff can perform on periodic tasks."""

from collections.abc import Callable
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
from tasks_admin.periodic.overview import beat_model, find

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def run(*, name: str, actor: "User", reason: str) -> Operation:
    """Queue a periodic task once, now, with its scheduled arguments; uses only the database.

    Raises `WrongState` if its arguments are not known, or if the task is not protected against
    running twice: like any target, it is published again when its message is lost.
    """
    operations.require(actor, RUN_PERIODIC)
    periodic_task = find(name)
    if periodic_task is None or periodic_task.entry is None:
        text = _("Nothing was queued: the arguments of %(name)s are not known here.")
        raise WrongState(text % {"name": name})
    entry = periodic_task.entry
    if entry.task not in broker.protected_tasks():
        raise WrongState(
            _("Nothing was queued: %(task)s: %(reason)s.")
            % {"task": entry.task, "reason": label(broker.unprotected_reason(entry.task))}
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
    """Let beat queue the task at its scheduled times again; requires django-celery-beat."""
    return _set_enabled(ENABLE_PERIODIC, name, actor, reason, enabled=True)


def disable(*, name: str, actor: "User", reason: str) -> Operation:
    """Stop beat from queueing the task until it is enabled; requires django-celery-beat."""
    return _set_enabled(DISABLE_PERIODIC, name, actor, reason, enabled=False)


def _set_enabled(verb: str, name: str, actor: "User", reason: str, *, enabled: bool) -> Operation:
    operations.require(actor, verb)
    model = beat_model()
    row = model.objects.filter(name=name).first() if model is not None else None
    if row is None:
        text = _(
            "Nothing was changed: %(name)s is declared in the project's settings, or not known. "
            "Only periodic tasks of django-celery-beat can be enabled and disabled."
        )
        raise WrongState(text % {"name": name})
    with transaction.atomic():
        before, row.enabled = row.enabled, enabled
        row.save(update_fields=["enabled", "date_changed"])  # its signal notifies beat
        detail = "" if before == enabled else f"{before} → {enabled}"
        outcome = Outcome(subject=name, detail=detail)
        return operations.record(verb=verb, actor=actor, reason=reason, outcomes=[outcome])


#: The actions on a periodic task by name, for pages and commands.
ACTIONS: dict[str, Callable[..., Operation]] = {
    RUN_PERIODIC: run,
    ENABLE_PERIODIC: enable,
    DISABLE_PERIODIC: disable,
}
