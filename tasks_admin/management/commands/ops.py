"""`manage.py ops`: what the pages show and do, by the same functions and permissions."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from tasks_admin import operations, periodic, queues, results, workers
from tasks_admin.admin.shared.forms import build_form, confirmation_of, rate_field
from tasks_admin.lib.errors import ConsoleError
from tasks_admin.lib.verbs import (
    DISABLE_PERIODIC,
    ENABLE_PERIODIC,
    MUTE,
    PAUSE_QUEUE,
    PEEK_QUEUE,
    PURGE_QUEUE,
    REOPEN,
    RESOLVE,
    RESTORE_QUEUE,
    RESUME_QUEUE,
    RETRY_FAILED,
    REVOKE,
    RUN_PERIODIC,
    TERMINATE,
    WORKER_COMMANDS,
)
from tasks_admin.management import rows
from tasks_admin.management.rows import Row
from tasks_admin.models import FailureGroup, Operation, Result
from tasks_admin.results import cancellation, failure_groups

#: Rows that a table has unless more are asked for.
USUAL = 50
LISTS: dict[str, Callable[[User], list[Row]]] = {
    "workers": rows.of_workers,
    "queues": rows.of_queues,
    "periodic": rows.of_periodic,
}
NEWEST: dict[str, Callable[..., list[Row]]] = {
    "results": rows.of_results,
    "operations": rows.of_operations,
    "failure_groups": rows.of_failure_groups,
}
MOVES: dict[str, Callable[..., Operation]] = {
    "pause": operations.pause,
    "resume": operations.resume,
    "abort": operations.abort,
    "approve": operations.approve,
    "throttle": operations.throttle,
}
FAILURE_GROUP_ACTIONS = {
    RESOLVE: failure_groups.resolve,
    MUTE: failure_groups.mute,
    REOPEN: failure_groups.reopen,
}
QUEUE_ACTS = {
    PAUSE_QUEUE: queues.pause,
    RESUME_QUEUE: queues.resume,
    PURGE_QUEUE: queues.purge,
}
PERIODIC_ACTS = {
    RUN_PERIODIC: periodic.run,
    ENABLE_PERIODIC: periodic.enable,
    DISABLE_PERIODIC: periodic.disable,
}
ACTS: dict[str, tuple[str, Callable[..., Operation]]] = {
    "retry": (RETRY_FAILED, results.retry_failed),
    "revoke": (REVOKE, cancellation.revoke),
    "terminate": (TERMINATE, cancellation.terminate),
}
NAMED = QUEUE_ACTS | PERIODIC_ACTS


class Command(BaseCommand):
    """List workers, results and operations, and act on them, as a person who may."""

    help = "List workers, results and operations, and act on them. Acts need --reason."

    def add_arguments(self, parser: CommandParser) -> None:
        """A word for what is shown or done; then what it is about."""
        shared = CommandParser(add_help=False)
        shared.add_argument("--as", dest="actor", required=True, help="the user who acts")
        shared.add_argument("--json", action="store_true", help="for programs")
        acting = CommandParser(add_help=False, parents=[shared])
        acting.add_argument("--reason", required=True, help="kept with the operation")
        words = parser.add_subparsers(dest="word", required=True)
        words.add_parser("workers", parents=[shared], help="who answers, and who does not")
        for word in NEWEST:
            listing = words.add_parser(word, parents=[shared], help=f"the newest {word}")
            listing.add_argument("--limit", type=int, default=USUAL)
            if word == "results":
                listing.add_argument("--status")
                listing.add_argument("--task", dest="task_name")
        for word in ACTS:
            act = words.add_parser(word, parents=[acting], help=f"{word} these tasks")
            act.add_argument("ids", nargs="*", metavar="TASK_ID")
            act.add_argument("--group", type=int, help="all that failed for it")
            act.add_argument("--operation", type=int, help="all that failed of it")
            act.add_argument(
                "--answer", action="append", default=[], metavar="FIELD=VALUE",
                help="a field that the action's page has besides the reason",
            )  # fmt: skip
        words.add_parser("queues", parents=[shared], help="what waits, and who consumes it")
        for word in QUEUE_ACTS:
            act = words.add_parser(word, parents=[acting], help=word.replace("_", " the "))
            act.add_argument("ids", nargs=1, metavar="QUEUE")
        words.add_parser("periodic", parents=[shared], help="what beat queues, and when")
        for word in PERIODIC_ACTS:
            act = words.add_parser(word, parents=[acting], help=word.replace("_", " a ") + " task")
            act.add_argument("ids", nargs=1, metavar="NAME")
        back = words.add_parser(RESTORE_QUEUE, parents=[acting], help="put back what was purged")
        back.add_argument("ids", nargs=1, metavar="OPERATION", type=int)
        look = words.add_parser(PEEK_QUEUE, parents=[acting], help="the next messages of a queue")
        look.add_argument("ids", nargs=1, metavar="QUEUE")
        for word in MOVES:
            move = words.add_parser(word, parents=[acting], help=f"{word} an operation")
            move.add_argument("ids", nargs=1, metavar="OPERATION", type=int)
            if word == "throttle":
                move.add_argument("--rate", type=int, help="targets a minute; none: no limit")
        for word in FAILURE_GROUP_ACTIONS:
            act = words.add_parser(word, parents=[acting], help=f"{word} a cause of failures")
            act.add_argument("ids", nargs=1, metavar="CAUSE", type=int)
        for word in WORKER_COMMANDS:
            order = words.add_parser(word, parents=[acting], help=f"tell workers: {word}")
            order.add_argument("ids", nargs="*", metavar="WORKER")
            order.add_argument("--all", action="store_true", help="all workers that answer")
            order.add_argument(
                "--confirm-queues", default="", help="queues that would have no consumer"
            )
            order.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it; what is refused ends with a sentence, and status 1."""
        actor = _actor(options["actor"])
        try:
            found = self._rows(options["word"], actor, options)
        except ConsoleError as error:
            raise CommandError(str(error)) from None
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        if options["json"]:
            self.stdout.write(json.dumps(found, default=str, ensure_ascii=False))
        else:
            for line in _table(found):
                self.stdout.write(line)

    def _rows(self, word: str, actor: User, options: dict[str, Any]) -> list[Row]:
        if word in LISTS:
            return LISTS[word](actor)
        if word in NEWEST:
            wanted = {name: options[name] for name in ("status", "task_name") if name in options}
            return NEWEST[word](actor, limit=options["limit"], **wanted)
        return _acted(word, actor, options)


def _acted(word: str, actor: User, options: dict[str, Any]) -> list[Row]:
    ids, told = options["ids"], {"actor": actor, "reason": options["reason"]}
    if word in ACTS:
        verb, act = ACTS[word]
        confirmation = _confirmation(verb, actor, options)
        operation = act(results=_chosen(options), confirmation=confirmation)
    elif word in FAILURE_GROUP_ACTIONS:
        operation = FAILURE_GROUP_ACTIONS[word](group=_found(FailureGroup, ids[0]), **told)
    elif word in NAMED:
        operation = NAMED[word](name=ids[0], **told)
    elif word == RESTORE_QUEUE:
        operation = queues.restore(operation=_found(Operation, ids[0]), **told)
    elif word == PEEK_QUEUE:
        return [rows.of_message(one) for one in queues.peek(name=ids[0], **told)]
    elif word in MOVES:
        operation = _found(Operation, ids[0])
        if word == "throttle":
            told["rate"] = rate_field().clean(options["rate"])
        MOVES[word](operation=operation, **told)
        operation.refresh_from_db()
    else:
        told["confirmed_queues"] = options["confirm_queues"]
        names = workers.online_workers_for(word) if options["all"] else ids
        given = dict(pair.partition("=")[::2] for pair in options["set"])
        options = {name: int(text) if text.isdigit() else text for name, text in given.items()}
        operation = workers.send_command(verb=word, names=names, options=options, **told)
    if not operation.is_finished or word not in {*WORKER_COMMANDS, PAUSE_QUEUE, RESUME_QUEUE}:
        return [rows.of_operation(operation)]
    targets = operation.targets.order_by("pk")
    return [
        {"worker": one.subject, "outcome": one.state, "why": one.reason, "detail": one.detail}
        for one in targets
    ]


def _confirmation(verb: str, actor: User, options: dict[str, Any]) -> operations.Confirmation:
    """Validate the reason and the answers with the form of the action's page."""
    answers = dict(pair.partition("=")[::2] for pair in options["answer"])
    form = build_form(verb, answers | {"reason": options["reason"]})
    if unknown := answers.keys() - form.fields.keys():
        raise CommandError(f"{verb} has no field {', '.join(sorted(unknown))}.")
    if not form.is_valid():
        problems = (f"{name}: {' '.join(map(str, texts))}" for name, texts in form.errors.items())
        raise CommandError(" ".join(problems))
    return confirmation_of(form, actor)


def _actor(name: str) -> User:
    model = get_user_model()
    found = model._default_manager.filter(**{model.USERNAME_FIELD: name}).first()
    return found or _no("user", name)


def _found(model: Any, pk: int) -> Any:
    return model._default_manager.filter(pk=pk).first() or _no(model._meta.verbose_name, pk)


def _chosen(options: dict[str, Any]) -> Any:
    """The results that are named, or that failed for a cause, or in an operation."""
    if options["group"] is not None:
        return failure_groups.results_of(_found(FailureGroup, options["group"]))
    if options["operation"] is not None:
        return results.failed_results(_found(Operation, options["operation"]))
    return Result.objects.filter(task_id__in=options["ids"])


def _no(noun: str, name: object) -> Any:
    raise CommandError(f"There is no {noun} {name}.")


def _table(found: list[Row]) -> Iterable[str]:
    """Columns as wide as what stands in them."""
    if not found:
        return
    names = list(dict.fromkeys(name for row in found for name in row))
    lines = [names, *([_plain(row.get(name)) for name in names] for row in found)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(names))]
    for line in lines:
        cells = zip(line, widths, strict=True)
        yield "  ".join(f"{text:{width}}" for text, width in cells).rstrip()


def _plain(value: object) -> str:
    """Text that does nothing to a terminal, whatever a worker calls itself."""
    text = "" if value is None else str(value)
    return "".join(letter if letter.isprintable() else "?" for letter in text)
