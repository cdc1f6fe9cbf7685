"""A host project's Celery app with plain tasks: `celery -A tests.plainhost worker`.

`HOST_CELERY` holds settings that differ, as JSON; `HOST_LOG` is a file with a line for each run.
"""

import json
import os
import time

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

from celery import Celery, shared_task
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
