"""Metrics for Prometheus: what the pages say, as numbers. What is not known is left out."""

from collections import Counter
from collections.abc import Iterator, Mapping

from django.db.models import Count
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from tasks_admin import queues, workers
from tasks_admin.models import Beat, Dispatcher, Operation, ResultCount

#: Kinds of results that are told of: those that occur most.
MOST = 1000


def told(accept: str) -> tuple[bytes, str]:
    """The metrics, and their content type, in the form that this `Accept` header asks for."""
    registry = CollectorRegistry()
    registry.register(_Console())
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _Console(Collector):
    """Reads everything when it is asked."""

    def describe(self) -> list[Metric]:
        """Nothing beforehand: registering must not ask anybody."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        yield from _queues()
        yield from _workers()
        yield from _results()
        yield _gauge("dispatchers", "Dispatchers that gave a sign of life lately.",
                     Dispatcher.objects.count())  # fmt: skip
        yield _gauge("beats", "Beats that are believed to be at work.",
                     Beat.objects.online().count())  # fmt: skip
        active = Operation.objects.active().order_by().values_list("state").annotate(Count("pk"))
        yield _labelled("operations", "Operations that are not over.", "state", dict(active))


def _queues() -> Iterator[Metric]:
    overview = queues.overview()
    yield _gauge("broker_up", "Whether the broker answers.", int(not overview.error))
    if overview.unacknowledged is not None:
        text = "Messages of all queues that are delivered and not acknowledged."
        yield _gauge("unacknowledged", text, overview.unacknowledged)
    fresh = [seen for seen in overview.queues if seen.age is None and seen.waiting is not None]
    waiting = {seen.name: seen.waiting or 0 for seen in fresh}
    yield _labelled("queue_waiting", "Messages that wait in a queue.", "queue", waiting)
    ages = {seen.name: seen.oldest.total_seconds() for seen in fresh if seen.oldest is not None}
    text = "Seconds that the next message has waited, at most."
    yield _labelled("queue_oldest_seconds", text, "queue", ages)
    heard = {seen.name: len(seen.consumers) for seen in overview.queues if seen.consumers_known}
    yield _labelled("queue_consumers", "Workers that consume a queue.", "queue", heard)
    paused = {seen.name: int(seen.paused_at is not None) for seen in overview.queues}
    yield _labelled("queue_paused", "Whether staff paused a queue.", "queue", paused)


def _workers() -> Iterator[Metric]:
    overview = workers.overview()
    if overview.error:
        return
    states = dict.fromkeys(workers.State.values, 0)
    states |= Counter(str(seen.state.value) for seen in overview.workers)
    yield _labelled("workers", "Workers, by how they are.", "state", states)
    views = [seen.view for seen in overview.workers if seen.replied]
    running = sum(view.running_count for view in views)
    yield _gauge("tasks_running", "Tasks that the answering workers run.", running)
    reserved = sum(view.reserved_count for view in views)
    yield _gauge("tasks_reserved", "Tasks that they have taken and not begun.", reserved)


def _results() -> Iterator[Metric]:
    text = "Results that ended, counted a minute after their end."
    family = CounterMetricFamily("tasks_admin_results", text, labels=["task", "status"])
    for row in ResultCount.objects.order_by("-count")[:MOST]:
        family.add_metric([row.task, row.status], row.count)
    yield family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"tasks_admin_{name}", text, value=value)


def _labelled(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"tasks_admin_{name}", text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
