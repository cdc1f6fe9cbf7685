"""Edits: retry what failed with other arguments, one set of them for all that is selected."""

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
from tasks_admin.results.signatures import Placed, Signature

if TYPE_CHECKING:
    from django.contrib.auth.models import User

#: Characters of a value that are kept of what was changed, and retries that are named.
LONGEST, MOST = 4_000, 3
#: How long one may go on editing what one was shown.
REVEALED_FOR = timedelta(hours=1)
#: Names of tasks that a refusal lists.
MOST_TASKS = 5


def require(actor: "User", task: str) -> None:
    """Raise `NotAllowed` unless the actor may edit, and may do what this very task is for.

    Else a mail for one user could be turned into one for another.
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


def task_of(rows: QuerySet[Any]) -> str:
    """The task of all these results. Raises `WrongState` unless it is one that can be queued."""
    names = _tasks_of(rows)
    if not names:
        raise WrongState(_("Nothing is selected, or it was cleaned up meanwhile."))
    if len(names) > 1:
        listed = ", ".join([*names[:MOST_TASKS], *(["…"] if len(names) > MOST_TASKS else [])])
        said = _("These are results of several tasks, and one set of arguments fits one: %(names)s")
        raise WrongState(said % {"names": listed})
    if names[0] not in broker.repeatable():
        why = label(broker.unrepeatable(names[0]))
        said = _("%(task)s can't be retried: %(why)s.")
        raise WrongState(said % {"task": names[0], "why": why})
    return names[0]


def _tasks_of(rows: QuerySet[Any]) -> list[str]:
    """The tasks of these results, one after the other: DISTINCT would read all before it tells."""
    names: list[str] = []
    known = rows.order_by().annotate(name=Coalesce("task_name", Value("?")))
    while len(names) <= MOST_TASKS:
        found = known.exclude(name__in=names).values_list("name", flat=True)[:1]
        if not found:
            break
        names += found
    return sorted(names)


def model_of(rows: QuerySet[Any]) -> Result:
    """The result whose arguments an edit begins with: the newest that failed."""
    failed = rows.filter(status__in=RETRYABLE).order_by("-pk")
    found: Result | None = failed.first() or rows.order_by("-pk").first()
    if found is None:
        raise WrongState(_("Nothing is selected, or it was cleaned up meanwhile."))
    return found


def before(model: Result, signature: Signature) -> Placed | None:
    """The arguments of that result by name; None when they were not stored exactly."""
    verdict, args, kwargs = model.arguments
    return signatures.placed(signature, args, kwargs) if verdict == Verdict.EXACT else None


def alike(rows: QuerySet[Any], model: Result) -> bool:
    """Whether all that failed had the same arguments."""
    failed = rows.filter(status__in=RETRYABLE)
    others = failed.exclude(task_args=model.task_args, task_kwargs=model.task_kwargs)
    return not others.order_by().exists()


def was_revealed(key: str, *, actor: "User", result: Result) -> bool:
    """Whether a key names the record that this actor was shown this result's masked values."""
    try:
        known = Operation.objects.filter(key=uuid.UUID(key), verb=REVEAL_ARGUMENTS, actor=actor)
    except ValueError:
        return False
    recent = known.filter(created_at__gt=timezone.now() - REVEALED_FOR)
    return recent.filter(targets__subject=result.task_id).exists()


def edit_and_retry(
    *,
    results: QuerySet[Any],
    args: list[Any],
    kwargs: dict[str, Any],
    confirmation: Confirmation,
    parent: Operation | None = None,
) -> Operation:
    """Queue the failed ones of these results again with other arguments, once each.

    Raises `WrongArguments` before anything is stored when the task does not take them, and
    `WrongState` when the results are not of one task that can be queued.
    """
    task = task_of(results)
    require(operations.require_actor(confirmation, EDIT_AND_RETRY), task)
    signature, model = signatures.of(task), model_of(results)
    old = before(model, signature)
    signatures.check(signature, args, kwargs, before=old)
    kept = _kept(args, kwargs)
    known = old if old and alike(results, model) else None
    new = signatures.placed(signature, args, kwargs)
    try:
        return operations.start(
            verb=EDIT_AND_RETRY,
            selection=select(results),
            confirmation=confirmation,
            arguments=kept | {"changes": changes(signature, known, new)},
            parent=parent,
        )
    except (NothingToDo, SelectionChanged) as error:
        raise type(error)(retried(results) or str(error)) from None


def _kept(args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments as they will be sent, to the letter."""
    try:
        kept = {"args": celery_json.encode(args), "kwargs": celery_json.encode(kwargs)}
    except celery_json.ENCODING_ERRORS:
        raise WrongArguments({"*": _("can't be sent as JSON.")}) from None
    if sum(map(len, kept.values())) > settings.ARGUMENTS_MAX_BYTES:
        raise WrongArguments({"*": _("are too large to be stored exactly.")})
    return kept


def changes(signature: Signature, old: Placed | None, new: Placed) -> list[dict[str, str | None]]:
    """What differs: `name`, `old`, `new` as masked JSON; "" is not given, None is not known."""
    found: list[dict[str, str | None]] = []
    for one in signature.parameters:
        known = old is not None and one.name in old.values
        given = one.name in new.values
        if known and given and old and signatures.same(old.values[one.name], new.values[one.name]):
            continue
        if not (known or given) or (old is None and new.values.get(one.name) in ([], {})):
            continue
        was = brief(one.name, old.values) if old else None
        found.append({"name": one.title, "old": was, "new": brief(one.name, new.values)})
    spare = old.spare if old else {}
    found += [
        {"name": celery_json.readable(name)[1:-1], "old": brief(name, spare), "new": ""}
        for name in spare
    ]
    return found


def brief(name: str, values: dict[str, Any]) -> str:
    """A value as pages show it: masked JSON, its beginning; empty when it is not given."""
    if name not in values:
        return ""
    text = celery_json.readable(masks.mask({name: values[name]})[name])
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)})"


def retried(rows: QuerySet[Any]) -> str:
    """Who had these retried, and when; empty when nobody did."""
    ids = rows.order_by("-pk").values_list("task_id", flat=True)[:MOST]
    lock_keys = [lock_key(LockKind.RESULT, task_id) for task_id in ids]
    held = Target.objects.filter(lock_key__in=lock_keys).select_related("operation").order_by("pk")
    return " ".join(
        _("%(who)s had it retried on %(when)s: %(operation)s.")
        % {
            "who": target.operation.actor_name or _("nobody signed in"),
            "when": date_format(timezone.localtime(target.operation.created_at), "DATETIME_FORMAT"),
            "operation": target.operation,
        }
        for target in held
    )
