"""A host project's Celery app: `celery -A tests.host.celery_app worker`.

`HOST_CELERY` contains further settings as JSON; `HOST_LOG` is a file with a line for each run.
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

SETTINGS = json.loads(os.environ.get("HOST_CELERY") or "{}")
#: The console's base class of tasks, unless an alternative is measured.
BASE = {} if SETTINGS.pop("plain", False) else {"task_cls": "tasks_admin.tasks:TargetTask"}
app = Celery("host", **BASE)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(SETTINGS)
app.autodiscover_tasks()


def disable_pending_results() -> None:
    """Publish as a project without the console: no row is stored before a task runs."""
    before_task_publish.disconnect(dispatch_uid="tasks_admin.store_published")


@shared_task(name="host.noop")
def noop(number):
    return number


@shared_task(name="host.log_run", bind=True)
def log_run(self, number):
    """Append a line to the log; return twice the number."""
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


@shared_task(name="host.discard_result", ignore_result=True)
def discard_result():
    return "not stored"


@shared_task(name="host.retry_once", bind=True, max_retries=2)
def retry_once(self, number):
    """Is retried by Celery once. The first run takes a second."""
    if not self.request.retries:
        time.sleep(1)
        raise self.retry(countdown=0)
    return number


def _sleep():
    time.sleep(0.05)


@shared_task(name="host.sleep", bind=True)
def sleep(self, seconds, stubborn=False):
    """Append a line to the log, and sleep. A stubborn task survives a signal."""
    log_run.run.__func__(self, seconds)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not stubborn:
            _sleep()
            continue
        with contextlib.suppress(BaseException):
            _sleep()


@shared_task(name="host.reject", acks_late=True)
def reject():
    raise Reject("rejected", requeue=False)


@shared_task(name="host.ignore")
def ignore():
    raise Ignore


@shared_task(name="host.report_progress", bind=True)
def report_progress(self, number):
    """Report progress, and store a value of its own in the meta of the result."""
    self.request.meta = {"note": number}
    self.update_state(state="PROGRESS", meta={"done": 1})
    time.sleep(0.3)
    return number


@shared_task(name="host.die")
def die():
    os.kill(os.getpid(), 9)


def run_examples() -> dict[str, Any]:
    """Queue one task of each kind, wait for those that end, and return outcomes and rows."""
    from django_celery_results.models import ChordCounter

    from tasks_admin.models import Result

    app.set_current()
    while not app.control.ping(timeout=1, limit=1):  # only running workers receive a revoke
        pass
    app.control.revoke("revoked", reply=True, timeout=5, limit=1)
    noop.apply_async((1,), task_id="revoked")
    reject.apply_async(task_id="rejected")
    ignore.apply_async(task_id="ignored")
    discard_result.apply_async(task_id="discarded")
    pending = {
        "chord": chord([noop.s(n) for n in range(5)])(total.s()),
        "empty": chord([])(total.s()),
        "group": group(noop.s(n) for n in range(3)).delay(),
        "chain": chain(noop.s(7), retry_once.s(), report_progress.s())(),
        "failing chord": chord([noop.s(1), fail.s()])(total.s()),
        "failing chain": chain(noop.s(1), fail.s(), noop.s())(),
        "retried": retry_once.apply_async((4,), task_id="retried"),
        "reported": report_progress.apply_async((5,), task_id="reported"),
        "dead": die.apply_async(task_id="dead"),
        "revoked": noop.AsyncResult("revoked"),
        "last": noop.delay(1),
    }
    outcomes = {name: _outcome(result) for name, result in pending.items()}
    outcomes["children"] = [child.task_name for child in _children(pending["chain"])]
    rows = Result.objects.filter(task_id__in=EXAMPLES)
    seconds = lambda row: row.run_time.total_seconds() if row.run_time else None  # noqa: E731
    outcomes["rows"] = {row.task_id: [row.status, seconds(row), row.meta_values] for row in rows}
    outcomes["counters"] = ChordCounter.objects.count()
    return outcomes


EXAMPLES = ["retried", "reported", "rejected", "ignored", "discarded", "revoked", "dead"]


def _outcome(result: Any) -> Any:
    try:
        return result.get(timeout=60, interval=0.1)
    except Exception as error:
        return type(error).__name__


def _children(result: Any) -> list[Any]:
    """Return the rows of the child tasks of the first task of a chain."""
    from tasks_admin.models import Result

    while result.parent:
        result = result.parent
    ids = [child["id"] if isinstance(child, dict) else child.id for child in result.children or []]
    return list(Result.objects.filter(task_id__in=ids))
