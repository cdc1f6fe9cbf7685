"""`manage.py ops`: the lists and actions of the pages, with the same functions and permissions."""

import json
from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from tasks_admin.lib.errors import ConsoleError
from tasks_admin.management import rows
from tasks_admin.management.rows import Row
from tasks_admin.management.subcommands import add_subcommands

DEFAULT_LIMIT = 50


class Command(BaseCommand):
    """List workers, queues, results and operations, and perform actions on them, as a user."""

    help = "List workers, queues, results and operations, and perform actions on them."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add a subcommand for each list, and one for each verb."""
        shared = CommandParser(add_help=False)
        shared.add_argument(
            "--as", dest="actor", required=True, metavar="USER",
            help="the user whose permissions apply",
        )  # fmt: skip
        shared.add_argument("--json", action="store_true", help="print JSON")
        subparsers = parser.add_subparsers(dest="subcommand", required=True)
        for name, (function, text) in rows.LISTS.items():
            listing = subparsers.add_parser(name, parents=[shared], help=text)
            if name in rows.LIMITED:
                listing.add_argument(
                    "--limit", type=int, default=DEFAULT_LIMIT, help="the number of rows"
                )
            if name == "results":
                listing.add_argument("--status", help="only results with this status")
                listing.add_argument(
                    "--task", dest="task_name", metavar="NAME", help="only results of this task"
                )
            listing.set_defaults(perform=function)
        add_subcommands(subparsers, shared)

    def handle(self, *args: Any, **options: Any) -> None:
        """Perform the subcommand; a refusal prints its reason and exits with status 1."""
        actor = _actor(options["actor"])
        try:
            found = options["perform"](actor, options)
        except ConsoleError as error:
            raise CommandError(str(error)) from None
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        if options["json"]:
            self.stdout.write(json.dumps(found, default=str, ensure_ascii=False))
        else:
            for line in _table(found):
                self.stdout.write(line)


def _actor(name: str) -> User:
    model = get_user_model()
    user = model._default_manager.filter(**{model.USERNAME_FIELD: name}).first()
    if user is None:
        raise CommandError(f"There is no user {name}.")
    return user


def _table(found: list[Row]) -> Iterable[str]:
    """Yield the lines of a table with aligned columns."""
    if not found:
        return
    names = list(dict.fromkeys(name for row in found for name in row))
    lines = [names, *([_printable(row.get(name)) for name in names] for row in found)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(names))]
    for line in lines:
        cells = zip(line, widths, strict=True)
        yield "  ".join(f"{text:{width}}" for text, width in cells).rstrip()


def _printable(value: object) -> str:
    """Return text without control characters: the name of a worker may contain any."""
    text = "" if value is None else str(value)
    return "".join(letter if letter.isprintable() else "?" for letter in text)
