"""Editing: retry failed tasks with other arguments, the same for all selected results."""

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet, Value
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from tasks_admin import operations, results
from tasks_admin.integrations import broker
from tasks_admin.lib import celery_json, masks
from tasks_admin.lib.conf import settings
from tasks_admin.lib.errors import NothingToDo, SelectionChanged, WrongArguments, WrongState
from tasks_admin.lib.reasons import label
from tasks_admin.lib.verbs import EDIT_AND_RETRY, REVEAL_ARGUMENTS, VERBS
from tasks_admin.models import Operation, Result, Target
from tasks_admin.models.lock_keys import LockKind, lock_key
from tasks_admin.models.result_states import RETRYABLE
from tasks_admin.models.results import Verdict
from tasks_admin.operations import Confirmation, Selection
from tasks_admin.results import signatures
from tasks_admin.results.signatures import BoundArguments, Signature

if TYPE_CHECKING:
    from django.contrib.auth.models import User

#: Characters of a value in the record of changes.
MAX_VALUE_LENGTH = 4_000
#: Retries and task names that a message lists.
MAX_RETRIES, MAX_TASKS = 3, 5
#: The name of a problem that concerns all arguments; no parameter can have it.
ALL = "args, kwargs"
#: How long revealed values can be edited.
REVEAL_TIMEOUT = timedelta(hours=1)


def require_permissions(actor: "User", task: str) -> None:
    """Raise `NotAllowed` unless the actor may edit, and may perform the verb of this task.

    Otherwise an email to one user could be turned into an email to another.
    """
    operations.require(actor, EDIT_AND_RETRY)
    for verb in VERBS.values():
        if verb.task == task and verb.permission:
            operations.require(actor, verb.name)


def select(rows: QuerySet[Any]) -> Selection:
    """The results that would be retried; how their arguments were stored does not matter."""
    rows = results.with_exclusion_reason(rows)
    excluded = operations.count_exclusions(rows)
    excluded.pop("lossy", None)
    eligible = rows.filter(exclusion_reason__in=["", "lossy"])
    return Selection(rows=results.targets(eligible), excluded=excluded)


def single_task(rows: QuerySet[Any]) -> str:
    """The task of all these results. Raises `WrongState` for several, or one without retries."""
    names = _task_names(rows)
    if not names:
        raise _nothing_selected()
    if len(names) > 1:
        listed = ", ".join([*names[:MAX_TASKS], *(["…"] if len(names) > MAX_TASKS else [])])
        text = _("The selected results belong to several tasks: %(names)s. Select one task only.")
        raise WrongState(text % {"names": listed})
    if names[0] not in broker.protected_tasks():
        reason = label(broker.unprotected_reason(names[0]))
        text = _("%(task)s cannot be retried: %(reason)s.")
        raise WrongState(text % {"task": names[0], "reason": reason})
    return names[0]


def _nothing_selected() -> WrongState:
    text = _("No results are selected, or they have expired. Select the results again.")
    return WrongState(text)


def _task_names(rows: QuerySet[Any]) -> list[str]:
    """The tasks of the results, one query each: DISTINCT would read all rows."""
    names: list[str] = []
    named = rows.order_by().annotate(name=Coalesce("task_name", Value("?")))
    while len(names) <= MAX_TASKS:
        found = named.exclude(name__in=names).values_list("name", flat=True)[:1]
        if not found:
            break
        names += found
    return sorted(names)


def latest_failure(rows: QuerySet[Any]) -> Result:
    """The result whose arguments fill the form: the latest that failed."""
    failed = rows.filter(status__in=RETRYABLE).order_by("-pk")
    found: Result | None = failed.first() or rows.order_by("-pk").first()
    if found is None:
        raise _nothing_selected()
    return found


def stored_arguments(result: Result, signature: Signature) -> BoundArguments | None:
    """The arguments of a result by name; None if they were not stored exactly."""
    verdict, args, kwargs = result.arguments
    return signatures.bind(signature, args, kwargs) if verdict == Verdict.EXACT else None


def have_same_arguments(rows: QuerySet[Any], result: Result) -> bool:
    """Whether all failed results have the arguments of this one."""
    failed = rows.filter(status__in=RETRYABLE)
    others = failed.exclude(task_args=result.task_args, task_kwargs=result.task_kwargs)
    return not others.order_by().exists()


def was_revealed(key: str, *, actor: "User", result: Result) -> bool:
    """Whether `key` is that of a recent operation in which the actor revealed this result."""
    try:
        reveals = Operation.objects.filter(key=uuid.UUID(key), verb=REVEAL_ARGUMENTS, actor=actor)
    except ValueError:
        return False
    recent = reveals.filter(created_at__gt=timezone.now() - REVEAL_TIMEOUT)
    return recent.filter(targets__subject=result.task_id).exists()


def edit_and_retry(
    *,
    results: QuerySet[Any],
    args: list[Any],
    kwargs: dict[str, Any],
    confirmation: Confirmation,
    parent: Operation | None = None,
) -> Operation:
    """Queue the failed tasks again with other arguments, once each.

    Raises `WrongArguments` before anything is stored if the task does not accept them, and
    `WrongState` if the results are not of one task that can be retried.
    """
    task = single_task(results)
    require_permissions(operations.require_actor(confirmation, EDIT_AND_RETRY), task)
    signature, source = signatures.signature_of(task), latest_failure(results)
    stored = stored_arguments(source, signature)
    signatures.check(signature, args, kwargs, old=stored)
    encoded = _encode(args, kwargs)
    old = stored if stored and have_same_arguments(results, source) else None
    new = signatures.bind(signature, args, kwargs)
    try:
        return operations.start(
            verb=EDIT_AND_RETRY,
            selection=select(results),
            confirmation=confirmation,
            arguments=encoded | {"changes": changes(signature, old, new)},
            parent=parent,
        )
    except (NothingToDo, SelectionChanged) as error:
        raise type(error)(describe_retries(results) or str(error)) from None


def _encode(args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments as the exact JSON that will be sent."""
    try:
        encoded = {"args": celery_json.encode(args), "kwargs": celery_json.encode(kwargs)}
    except celery_json.ENCODING_ERRORS:
        raise WrongArguments({ALL: _("cannot be sent as JSON.")}) from None
    if sum(map(len, encoded.values())) > settings.ARGUMENTS_MAX_BYTES:
        raise WrongArguments({ALL: _("too large to be stored exactly.")})
    return encoded


def changes(
    signature: Signature, old: BoundArguments | None, new: BoundArguments
) -> list[dict[str, str | None]]:
    """The differences: `name`, `old`, `new` as masked JSON; "" is not given, None varies."""
    found: list[dict[str, str | None]] = []
    for one in signature.parameters:
        if _is_unchanged(one.name, old, new):
            continue
        before = format_value(one.name, old.values) if old else None
        after = format_value(one.name, new.values)
        found.append({"name": one.title, "old": before, "new": after})
    dropped = old.unexpected if old else {}
    found += [
        {"name": celery_json.readable(name)[1:-1], "old": format_value(name, dropped), "new": ""}
        for name in dropped
    ]
    return found


def _is_unchanged(name: str, old: BoundArguments | None, new: BoundArguments) -> bool:
    if old is None:
        return new.values.get(name, []) in ([], {})
    if name in old.values and name in new.values:
        return signatures.is_same_json(old.values[name], new.values[name])
    return name not in old.values and name not in new.values


def format_value(name: str, values: dict[str, Any]) -> str:
    """The beginning of a value as masked JSON; empty if it is not given."""
    if name not in values:
        return ""
    text = celery_json.readable(masks.mask({name: values[name]})[name])
    if len(text) <= MAX_VALUE_LENGTH:
        return text
    return f"{text[:MAX_VALUE_LENGTH]}… ({len(text):,})"


def describe_retries(rows: QuerySet[Any]) -> str:
    """The actors and times of the results' retries; empty if none was retried."""
    ids = rows.order_by("-pk").values_list("task_id", flat=True)[:MAX_RETRIES]
    lock_keys = [lock_key(LockKind.RESULT, task_id) for task_id in ids]
    targets = (
        Target.objects.filter(lock_key__in=lock_keys).select_related("operation").order_by("pk")
    )
    return " ".join(
        _("Already retried by %(actor)s on %(time)s: %(operation)s.")
        % {
            "actor": target.operation.actor_name or _("anonymous"),
            "time": date_format(timezone.localtime(target.operation.created_at), "DATETIME_FORMAT"),
            "operation": target.operation,
        }
        for target in targets
    )
