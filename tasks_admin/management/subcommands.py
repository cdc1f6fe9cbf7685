"""The subcommands of `manage.py ops` that perform verbs: one for each, by its name in the table."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser

from tasks_admin import operations, periodic, queues, results, workers
from tasks_admin.admin.shared.forms import build_form, confirmation_of, rate_field
from tasks_admin.lib.verbs import (
    PEEK_QUEUE,
    RESTORE_QUEUE,
    RETRY_FAILED,
    REVOKE,
    TERMINATE,
    THROTTLE,
    VERBS,
    WORKER_COMMANDS,
    Verb,
)
from tasks_admin.management import rows
from tasks_admin.management.rows import Row
from tasks_admin.models import FailureGroup, Operation, Result
from tasks_admin.results import cancellation, failure_groups

Options = dict[str, Any]
#: Short names of verbs.
ALIASES = {RETRY_FAILED: ["retry"]}
RESULT_ACTIONS: dict[str, Callable[..., Operation]] = {
    RETRY_FAILED: results.retry_failed,
    REVOKE: cancellation.revoke,
    TERMINATE: cancellation.terminate,
}


@dataclass(frozen=True, kw_only=True)
class Group:
    """Verbs whose subcommands take the same arguments.

    `perform` takes the verb, the parsed options, and the actor and reason as keyword arguments.
    """

    verbs: Iterable[str]
    add_arguments: Callable[[CommandParser, str], None]
    perform: Callable[..., list[Row]]


def add_subcommands(subparsers: Any, shared: CommandParser) -> None:
    """Add the subcommand of each verb; it sets `perform`, which takes the actor and the options."""
    for group in GROUPS:
        for verb in group.verbs:
            declared = VERBS[verb]
            parser = subparsers.add_parser(
                verb,
                parents=[shared],
                aliases=ALIASES.get(verb, []),
                help=_help(declared),
                description=str(declared.consequence or declared.title),
            )
            text = "the reason, stored in the audit trail"
            parser.add_argument(
                "--reason", required=declared.requires_reason, default="", help=text
            )
            group.add_arguments(parser, verb)
            parser.set_defaults(perform=partial(_perform, group, verb))


def find_or_fail(model: Any, pk: int) -> Any:
    """Return a row. Raises `CommandError` if there is none."""
    row = model._default_manager.filter(pk=pk).first()
    if row is None:
        raise CommandError(f"There is no {model._meta.verbose_name} {pk}.")
    return row


def _help(verb: Verb) -> str:
    """Return the title, which names the type of target; or the effect on an operation."""
    return str(verb.title if verb.target_type else verb.consequence)


def _perform(group: Group, verb: str, actor: User, options: Options) -> list[Row]:
    return group.perform(verb, options, actor=actor, reason=options["reason"])


def _result_arguments(parser: CommandParser, verb: str) -> None:
    parser.add_argument("ids", nargs="*", metavar="TASK_ID")
    text = "a field that the form of this action has besides the reason"
    parser.add_argument("--answer", action="append", default=[], metavar="FIELD=VALUE", help=text)
    parser.add_argument("--group", type=int, metavar="ID", help="all failures of this group")
    parser.add_argument(
        "--operation", type=int, metavar="ID", help="all failures of this operation"
    )


def _on_results(verb: str, options: Options, **by: Any) -> list[Row]:
    if options["group"] is not None:
        selected = failure_groups.results_of(find_or_fail(FailureGroup, options["group"]))
    elif options["operation"] is not None:
        selected = results.failed_results(find_or_fail(Operation, options["operation"]))
    else:
        selected = Result.objects.filter(task_id__in=options["ids"])
    confirmation = _confirmation(verb, options, by["actor"])
    return [rows.operation_row(RESULT_ACTIONS[verb](results=selected, confirmation=confirmation))]


def _confirmation(verb: str, options: Options, actor: User) -> operations.Confirmation:
    """Validate the reason and the answers with the form of the action's page."""
    answers = dict(pair.partition("=")[::2] for pair in options["answer"])
    form = build_form(verb, answers | {"reason": options["reason"]})
    if unknown := answers.keys() - form.fields.keys():
        raise CommandError(f"{verb} has no field {', '.join(sorted(unknown))}.")
    if not form.is_valid():
        problems = (f"{name}: {' '.join(map(str, texts))}" for name, texts in form.errors.items())
        raise CommandError(" ".join(problems))
    return confirmation_of(form, actor)


def _group_arguments(parser: CommandParser, verb: str) -> None:
    parser.add_argument("id", metavar="FAILURE_GROUP", type=int)


def _on_failure_group(verb: str, options: Options, **by: Any) -> list[Row]:
    group = find_or_fail(FailureGroup, options["id"])
    return [rows.operation_row(failure_groups.ACTIONS[verb](group=group, **by))]


def _queue_arguments(parser: CommandParser, verb: str) -> None:
    parser.add_argument("name", metavar="QUEUE")


def _on_queue(verb: str, options: Options, **by: Any) -> list[Row]:
    return rows.outcome_rows(queues.ACTIONS[verb](name=options["name"], **by))


def _peek(verb: str, options: Options, **by: Any) -> list[Row]:
    return [rows.message_row(message) for message in queues.peek(name=options["name"], **by)]


def _operation_arguments(parser: CommandParser, verb: str) -> None:
    parser.add_argument("id", metavar="OPERATION", type=int)
    if verb == THROTTLE:
        parser.add_argument("--rate", type=int, help="targets per minute; without it: no limit")


def _restore(verb: str, options: Options, **by: Any) -> list[Row]:
    purge = find_or_fail(Operation, options["id"])
    return [rows.operation_row(queues.restore(operation=purge, **by))]


def _on_operation(verb: str, options: Options, **by: Any) -> list[Row]:
    operation = find_or_fail(Operation, options["id"])
    if verb == THROTTLE:
        by["rate"] = rate_field().clean(options["rate"])
    operations.ACTIONS[verb](operation=operation, **by)
    operation.refresh_from_db()
    return [rows.operation_row(operation)]


def _periodic_arguments(parser: CommandParser, verb: str) -> None:
    parser.add_argument("name", metavar="NAME")


def _on_periodic_task(verb: str, options: Options, **by: Any) -> list[Row]:
    return [rows.operation_row(periodic.ACTIONS[verb](name=options["name"], **by))]


def _worker_arguments(parser: CommandParser, verb: str) -> None:
    parser.add_argument("names", nargs="*", metavar="WORKER")
    parser.add_argument("--all", action="store_true", help="all online workers")
    if verb in workers.ORPHANING_COMMANDS:
        text = "names of the queues that would have no consumer, separated by commas"
        parser.add_argument("--confirm-queues", default="", metavar="QUEUES", help=text)
    if names := workers.OPTIONS.get(verb):
        text = f"options of the command: {', '.join(names)}"
        parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help=text)


def _on_workers(verb: str, options: Options, **by: Any) -> list[Row]:
    pairs = dict(pair.partition("=")[::2] for pair in options.get("set", ()))
    operation = workers.send_command(
        verb=verb,
        names=workers.online_workers_for(verb) if options["all"] else options["names"],
        options={name: int(text) if text.isdigit() else text for name, text in pairs.items()},
        confirmed_queues=options.get("confirm_queues", ""),
        **by,
    )
    return rows.outcome_rows(operation)


GROUPS = (
    Group(verbs=RESULT_ACTIONS, add_arguments=_result_arguments, perform=_on_results),
    Group(verbs=failure_groups.ACTIONS, add_arguments=_group_arguments, perform=_on_failure_group),
    Group(verbs=queues.ACTIONS, add_arguments=_queue_arguments, perform=_on_queue),
    Group(verbs=[PEEK_QUEUE], add_arguments=_queue_arguments, perform=_peek),
    Group(verbs=[RESTORE_QUEUE], add_arguments=_operation_arguments, perform=_restore),
    Group(verbs=periodic.ACTIONS, add_arguments=_periodic_arguments, perform=_on_periodic_task),
    Group(verbs=operations.ACTIONS, add_arguments=_operation_arguments, perform=_on_operation),
    Group(verbs=WORKER_COMMANDS, add_arguments=_worker_arguments, perform=_on_workers),
)
