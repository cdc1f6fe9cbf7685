"""Create the rows that tests start from, and read the messages in the broker's queues."""

import base64
import dataclasses
import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db import connections
from django.utils import timezone
from kombu.utils.json import dumps

from tasks_admin import accounts, operations
from tasks_admin.lib.verbs import SEND_RESET_EMAIL, VERBS, TargetType
from tasks_admin.models import Failure, FailureGroup, Operation, Result, Target, lock_keys
from tasks_admin.operations import Confirmation, Selection
from tests.support.stack import WAIT_TIMEOUT

RESET = "tasks_admin.send_reset_email"


def make_users(count: int, prefix: str = "u") -> list[User]:
    """Users who are eligible for reset emails."""
    return User.objects.bulk_create(
        User(username=f"{prefix}{n:05}", email=f"{prefix}{n}@mail.example", password="md5$x")
        for n in range(count)
    )


def make_operation(count: int = 1, *, prefix: str = "u", actor: User | None = None) -> Operation:
    """A running operation with `count` new users as waiting targets."""
    users = make_users(count, prefix)
    actor = actor or User.objects.create_superuser(f"boss-{uuid.uuid4().hex[:8]}")
    rows = accounts.target_rows(User.objects.filter(pk__in=[user.pk for user in users]))
    selection = Selection(rows=rows, excluded={})
    return operations.start(
        verb=SEND_RESET_EMAIL,
        selection=selection,
        confirmation=Confirmation(actor=actor, reason="r"),
    )


def make_target(state: str = "waiting", *, due: float = 0, **fields: Any) -> Target:
    """The only target of a running operation, in this state, due in `due` seconds."""
    target = make_operation(1, prefix=uuid.uuid4().hex[:8]).targets.get()
    due_at = timezone.now() + timezone.timedelta(seconds=due)
    attempt = {"attempt": 0 if state == "waiting" else 1}
    Target.objects.filter(pk=target.pk).update(
        **{"state": state, "due_at": due_at} | attempt | fields
    )
    return Target.objects.select_related("operation").get(pk=target.pk)


def make_result(status: str = "FAILURE", **fields: Any) -> Result:
    """A result as the result backend stores it."""
    args, kwargs = fields.pop("args", [1]), fields.pop("kwargs", {})
    queue = fields.pop("queue", "mail")
    task_id = fields.pop("task_id", str(uuid.uuid4()))
    row = Result.build_pending(
        task_id=task_id, task=fields.pop("task", RESET), args=args, kwargs=kwargs, queue=queue
    )
    row.status = status
    row.result = dumps({"exc_type": "MailRefused", "exc_message": ["550"], "exc_module": "x"})
    for name, value in fields.items():
        setattr(row, name, value)
    row.save()
    return row


def make_selectable(verb: str) -> list[Any]:
    """Rows of which a bulk action processes at least one."""
    if VERBS[verb].target_type == TargetType.USER:
        return make_users(2)
    return [make_result("PENDING"), make_result("FAILURE")]


def make_failure_group(count: int = 1, **fields: Any) -> FailureGroup:
    """A failure group with `count` failures, whose results can be retried."""
    now = timezone.now()
    defaults = {"task": RESET, "exception": "shop.Refused", "location": "shop.tasks:charge"}
    defaults |= {"message": "no", "first_at": now, "last_at": now, "digest": uuid.uuid4().hex}
    group = FailureGroup.objects.create(**{"count": count} | defaults | fields)
    for _ in range(count):
        Failure.objects.create(group=group, task_id=make_result().task_id, failed_at=now)
    return group


def lock_key(user: User) -> str:
    """The lock key of a target that sends this user a reset email."""
    return lock_keys.lock_key(lock_keys.LockKind.USER, user.pk)


@dataclass(frozen=True)
class QueuedMessage:
    """A message in a queue."""

    headers: dict[str, Any]
    args: list[Any]
    kwargs: dict[str, Any]

    @property
    def id(self) -> str:
        """The task's id."""
        return str(self.headers["id"])


def queued_messages(client: Any, queue: str = "mail") -> list[QueuedMessage]:
    """The messages in a queue, oldest first; they stay in the queue."""
    found = []
    for raw in reversed(client.lrange(queue, 0, -1)):
        message = json.loads(raw)
        args, kwargs, _embed = json.loads(base64.b64decode(message["body"]))
        found.append(QueuedMessage(message["headers"], args, kwargs))
    return found


def run_concurrently(count: int, act: Callable[[int], Any]) -> list[Any]:
    """Call `act` in `count` threads at the same moment; return the results and exceptions."""
    outcomes: list[Any] = [None] * count
    gate = threading.Barrier(count)

    def run(number: int) -> None:
        gate.wait()
        try:
            outcomes[number] = act(number)
        except Exception as error:
            outcomes[number] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_TIMEOUT)
    return outcomes


class BeatTable:
    """Replaces the model of django-celery-beat; `test_real_beat` uses the real one."""

    enabled = True
    objects = property(lambda self: self)

    def filter(self, **_: Any) -> "BeatTable":
        return self

    def first(self) -> "BeatTable":
        return self

    def save(self, **_: Any) -> None:
        """Store nothing."""


def confirmed(given: dict[str, Any], **defaults: Any) -> Confirmation:
    """Take the fields of a confirmation out of keyword arguments."""
    fields = [field.name for field in dataclasses.fields(Confirmation)]
    found = {name: given.pop(name) for name in fields if name in given}
    return Confirmation(**defaults | found)
