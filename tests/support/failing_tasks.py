"""Tasks that fail in one of twelve ways, stored as a worker stores them."""

import uuid

from billiard.einfo import ExceptionInfo
from celery.app.task import Context

from opsconsole.celery import app


class Refused(Exception):
    """An exception of the project's own."""


def chained(number):
    try:
        raise KeyError(f"user-{number}")
    except KeyError as error:
        raise Refused(f"Order {number} was refused") from error


def raised_while_handling(number):
    try:
        {}[f"cart {number}"]
    except KeyError:
        raise LookupError(f"no cart for {uuid.uuid4()}")  # noqa: B904 (the implicit chaining is tested)


def multiline(number):
    raise ValueError(f"row {number} is wrong:\n  field 'a{number}'\n\n  at /srv/data/{number}.csv")


def exception_group(number):
    raise ExceptionGroup(f"{number} failed", [ValueError(number)])


def recursive(number, depth=3):
    return recursive(number, depth - 1) if depth else int(f"x{number}")


#: The tasks, and functions that raise the twelve exceptions.
FAILING_TASKS = [
    ("shop.charge", chained),
    ("shop.charge", raised_while_handling),
    ("shop.charge", multiline),
    ("shop.charge", exception_group),
    ("shop.charge", recursive),
    ("shop.mail", recursive),
    ("shop.mail", lambda n: (_ for _ in ()).throw(OSError(1000 + n % 3, "Broken pipe"))),
    ("shop.mail", lambda n: (_ for _ in ()).throw(TimeoutError(f"{n}.5 s to a{n}@mail.example"))),
    ("shop.mail", lambda n: {}[f"key {n}"]),
    ("shop.sync", lambda n: 1 // (n - n)),
    ("shop.sync", lambda n: [][n]),
    ("shop.sync", lambda n: b"\xff".decode() * n),
]


def store_failure(task, act, number, task_id=""):
    """Raise the exception, and let Celery store it as a worker does."""
    task_id = task_id or str(uuid.uuid4())
    request = Context(id=task_id, task=task, args=[number], kwargs={}, hostname="w@host")
    try:
        act(number)
    except Exception as error:
        app.backend.mark_as_failure(task_id, error, traceback=traceback_of(error), request=request)
    return task_id


def traceback_of(error):
    return ExceptionInfo((type(error), error, error.__traceback__)).traceback


def raising(text="no"):
    def act(_number):
        raise ValueError(text)

    return act
