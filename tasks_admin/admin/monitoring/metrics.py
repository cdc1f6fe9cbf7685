"""Metrics for Prometheus, from the same overviews as the pages. Unknown values are omitted."""

from collections import Counter
from collections.abc import Iterator, Mapping

from django.db.models import Count
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from tasks_admin import queues, workers
from tasks_admin.models import Beat, Dispatcher, Operation, ResultCount

#: Pairs of task and status that are exported: the most frequent ones.
MAX_RESULT_COUNTS = 1000


def exposition(accept: str) -> tuple[bytes, str]:
    """Return the metrics and their content type, in the format that this `Accept` header names."""
    registry = CollectorRegistry()
    registry.register(_ConsoleCollector())
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _ConsoleCollector(Collector):
    """Reads all values for each request."""

    def describe(self) -> list[Metric]:
        """Return nothing: registering must not query the broker."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        yield from _queues()
        yield from _workers()
        yield from _results()
        yield _gauge("dispatchers", "Dispatchers that have not stopped.",
                     Dispatcher.objects.count())  # fmt: skip
        yield _gauge("beats", "Running Celery beat processes.",
                     Beat.objects.online().count())  # fmt: skip
        active = Operation.objects.active().order_by().values_list("state").annotate(Count("pk"))
        yield _labeled(
            "operations", "Operations that have not ended, by state.", "state", dict(active)
        )


def _queues() -> Iterator[Metric]:
    overview = queues.overview()
    yield _gauge("broker_up", "1 if the broker replies, else 0.", int(not overview.error))
    if overview.unacknowledged is not None:
        text = "Messages of all queues that are delivered and not acknowledged."
        yield _gauge("unacknowledged", text, overview.unacknowledged)
    current = [
        queue for queue in overview.queues if queue.age is None and queue.waiting is not None
    ]
    waiting = {queue.name: queue.waiting or 0 for queue in current}
    yield _labeled("queue_waiting", "Waiting messages of a queue.", "queue", waiting)
    ages = {
        queue.name: queue.oldest.total_seconds() for queue in current if queue.oldest is not None
    }
    text = "Age of the next message of a queue in seconds, at most."
    yield _labeled("queue_oldest_seconds", text, "queue", ages)
    consumers = {
        queue.name: len(queue.consumers) for queue in overview.queues if queue.consumers_known
    }
    yield _labeled("queue_consumers", "Workers that consume a queue.", "queue", consumers)
    paused = {queue.name: int(queue.paused_at is not None) for queue in overview.queues}
    yield _labeled("queue_paused", "1 if the queue is paused, else 0.", "queue", paused)


def _workers() -> Iterator[Metric]:
    overview = workers.overview()
    if overview.error:
        return
    states = dict.fromkeys(workers.State.values, 0)
    states |= Counter(str(worker.state.value) for worker in overview.workers)
    yield _labeled("workers", "Workers by state.", "state", states)
    views = [worker.view for worker in overview.workers if worker.replied]
    running = sum(view.running_count for view in views)
    yield _gauge("tasks_running", "Running tasks of the workers that replied.", running)
    reserved = sum(view.reserved_count for view in views)
    yield _gauge("tasks_reserved", "Reserved tasks of the workers that replied.", reserved)


def _results() -> Iterator[Metric]:
    text = "Finished results, counted once, a minute after their end."
    family = CounterMetricFamily("tasks_admin_results", text, labels=["task", "status"])
    for row in ResultCount.objects.order_by("-count")[:MAX_RESULT_COUNTS]:
        family.add_metric([row.task, row.status], row.count)
    yield family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"tasks_admin_{name}", text, value=value)


def _labeled(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"tasks_admin_{name}", text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
