"""The rows of a console that several tests use, one after the other. Runs in its shell."""

import json
from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import transaction

from tasks_admin.management.commands.load_demo import add_users
from tasks_admin.models import Operation, Result, Worker

#: Rows that `migrate` makes.
KEPT_MODELS = {"contenttypes.contenttype", "auth.permission"}
ADMIN = "admin"


def reset(*, users: int, running_workers: list[str]) -> bool:
    """Delete all rows except the superuser's and those of running workers; add sample users.

    Returns whether an operation was active: its tasks may still be queued or running.
    """
    accounts = get_user_model()._default_manager
    active = Operation.objects.filter(finished_at=None).exists()
    kept = {*KEPT_MODELS, Worker._meta.label_lower, accounts.model._meta.label_lower}
    with transaction.atomic():
        for model in apps.get_models():
            if (
                model._meta.managed
                and not model._meta.proxy
                and model._meta.label_lower not in kept
            ):
                rows: Any = model._base_manager.all()
                rows._raw_delete(using=rows.db)
        Worker.objects.exclude(name__in=running_workers).delete()
        accounts.exclude(username=ADMIN).delete()
    load_users(users)
    return active


def load_users(count: int) -> None:
    """Add the first sample users of `load_demo`, without its staff. All have one password."""
    admin = get_user_model()._default_manager.get(username=ADMIN)
    for start in range(1, count + 1, 5_000):
        add_users(range(start, min(start + 5_000, count + 1)), password=admin.password)


def eligible_users() -> Any:
    """Return the sample users who can be sent a reset email."""
    users = get_user_model()._default_manager.filter(username__startswith="demo-0", is_active=True)
    return users.exclude(email="").exclude(password__startswith="!")


def store_failures(task: str, arguments: Iterable[int], *, queue: str) -> None:
    """Store a failed result of the task for each argument, with the ID `failed-<argument>`."""
    known = {"task_name": task, "status": "FAILURE", "task_kwargs": "{}"}
    known |= {"content_type": "application/json", "content_encoding": "utf-8"}
    known |= {"meta": json.dumps({"queue": queue}), "result": '{"exc_type": "OSError"}'}
    results = (Result(task_id=f"failed-{n}", task_args=f"[{n}]", **known) for n in arguments)
    Result.objects.bulk_create(results, batch_size=5_000)
