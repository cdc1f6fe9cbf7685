"""A host project's Celery app with plain tasks: `celery -A tests.host.celery_app worker`.

`HOST_CELERY` holds settings that differ, as JSON; `HOST_LOG` is a file with a line for each run.
"""

import contextlib
import json
import os
import time

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

from typing import Any

from celery import Celery, chain, chord, group, shared_task
from celery.exceptions import Ignore, Reject
from celery.signals import before_task_publish

OTHER = json.loads(os.environ.get("HOST_CELERY") or "{}")
#: The console's base of tasks, unless a rival is measured.
BASE = {} if OTHER.pop("plain", False) else {"task_cls": "tasks_admin.tasks:TargetTask"}
app = Celery("host", **BASE)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(OTHER)
app.autodiscover_tasks()


def unstored() -> None:
    """Publish as a project does that has no console: no row before a task runs."""
    before_task_publish.disconnect(dispatch_uid="tasks_admin.store_published")


@shared_task(name="host.noop")
def noop(number):
    return number


@shared_task(name="host.note", bind=True)
def note(self, number):
    """Leave a line; returns twice the number."""
    line = f"{self.request.id} {number} {time.time()}\n".encode()
    log = os.open(os.environ["HOST_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(log, line)
    finally:
        os.close(log)
    return number * 2


@shared_task(name="host.total")
def total(numbers):
    return sum(numbers)


@shared_task(name="host.fail")
def fail(*_):
    raise ValueError("no")


@shared_task(name="host.silent", ignore_result=True)
def silent():
    return "nobody asks"


@shared_task(name="host.again", bind=True, max_retries=2)
def again(self, number):
    """Is retried by Celery once, a second after it started."""
    if not self.request.retries:
        time.sleep(1)
        raise self.retry(countdown=0)
    return number


def _sleep():
    time.sleep(0.05)


@shared_task(name="host.long", bind=True)
def long(self, seconds, stubborn=False):
    """Leave a line, and run for a while; what is stubborn is not ended by a signal."""
    note.run.__func__(self, seconds)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not stubborn:
            _sleep()
            continue
        with contextlib.suppress(BaseException):
            _sleep()


@shared_task(name="host.reject", acks_late=True)
def reject():
    raise Reject("not mine", requeue=False)


@shared_task(name="host.ignore")
def ignore():
    raise Ignore


@shared_task(name="host.tell", bind=True)
def tell(self, number):
    """Says how far it is, and leaves a note of its own."""
    self.request.meta = {"note": number}
    self.update_state(state="PROGRESS", meta={"done": 1})
    time.sleep(0.3)
    return number


@shared_task(name="host.die")
def die():
    os.kill(os.getpid(), 9)


def story() -> dict[str, Any]:
    """Queue one of each, wait for what ends, and return what the tables then say."""
    from django_celery_results.models import ChordCounter

    from tasks_admin.models import Result

    app.set_current()
    while not app.control.ping(timeout=1, limit=1):  # a revoke is heard by those who are there
        pass
    app.control.revoke("revoked", reply=True, timeout=5, limit=1)
    noop.apply_async((1,), task_id="revoked")
    reject.apply_async(task_id="rejected")
    ignore.apply_async(task_id="ignored")
    silent.apply_async(task_id="silent")
    waited = {
        "chord": chord([noop.s(n) for n in range(5)])(total.s()),
        "empty": chord([])(total.s()),
        "group": group(noop.s(n) for n in range(3)).delay(),
        "chain": chain(noop.s(7), again.s(), tell.s())(),
        "failing chord": chord([noop.s(1), fail.s()])(total.s()),
        "failing chain": chain(noop.s(1), fail.s(), noop.s())(),
        "again": again.apply_async((4,), task_id="again"),
        "tell": tell.apply_async((5,), task_id="tell"),
        "dead": die.apply_async(task_id="dead"),
        "revoked": noop.AsyncResult("revoked"),
        "last": noop.delay(1),
    }
    said = {name: _outcome(result) for name, result in waited.items()}
    said["children"] = [child.task_name for child in _children(waited["chain"])]
    rows = Result.objects.filter(task_id__in=LOOKED_AT)
    seconds = lambda row: row.run_time.total_seconds() if row.run_time else None  # noqa: E731
    said["rows"] = {row.task_id: [row.status, seconds(row), row.meta_values] for row in rows}
    said["counters"] = ChordCounter.objects.count()
    return said


LOOKED_AT = ["again", "tell", "rejected", "ignored", "silent", "revoked", "dead"]


def _outcome(result: Any) -> Any:
    try:
        return result.get(timeout=60, interval=0.1)
    except Exception as error:
        return type(error).__name__


def _children(result: Any) -> list[Any]:
    """The rows of what the first of a chain started."""
    from tasks_admin.models import Result

    while result.parent:
        result = result.parent
    ids = [child["id"] if isinstance(child, dict) else child.id for child in result.children or []]
    return list(Result.objects.filter(task_id__in=ids))
