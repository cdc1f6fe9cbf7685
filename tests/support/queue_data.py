"""Makes queues look used: messages, workers that answer, minutes that were noted."""

import time
from datetime import timedelta

from django.utils import timezone

from tasks_admin.integrations import broker as broker_api
from tasks_admin.integrations.control import Snapshot, WorkerView, snapshots
from tasks_admin.models import QueueMinute


def set_worker_snapshot(**fields):
    """As if this worker had just answered."""
    known = {"name": "w@here", "pool": "prefork", "processes": 2, "queues": ["mail"]}
    view = WorkerView(**known | fields)
    snapshots._last = Snapshot(workers=[view], taken_at=time.monotonic() + 60)


def publish_messages(count, queue="mail", **more):
    broker_api.publish(
        [
            broker_api.Message(task_id=f"t{n}", task="tests.t", args=[n], queue=queue, **more)
            for n in range(count)
        ]
    )


def add_queue_minutes(*rows, queue="mail"):
    """So many (waiting, taken), the last of them now."""
    now = timezone.now().replace(second=0, microsecond=0)
    for age, (waiting, taken) in enumerate(reversed(rows)):
        moment = now - timedelta(minutes=age)
        QueueMinute.objects.create(
            queue=queue, minute=moment, last_seen_at=moment, waiting=waiting, taken=taken
        )
