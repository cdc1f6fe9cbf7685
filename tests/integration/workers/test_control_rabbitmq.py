"""The control API on a RabbitMQ that is frozen or in an alarm: it fails soon, and never hangs."""

import signal
import time
from collections.abc import Iterator

import pytest

from tasks_admin import queues, workers
from tasks_admin.integrations import control
from tasks_admin.lib.errors import BrokerUnreachable
from tests.conftest import broker_at
from tests.support.factories import run_concurrently
from tests.support.servers import RabbitMQ

pytestmark = [pytest.mark.rabbitmq, pytest.mark.django_db]
#: Seconds on a busy machine; by itself, kombu would retry forever.
MAX_SECONDS = 60
AMQP = {"confirm_publish": True, "read_timeout": 5, "write_timeout": 5, "confirm_timeout": 5}


@pytest.fixture(autouse=True)
def rabbitmq(own_rabbitmq: RabbitMQ) -> Iterator[None]:
    """Connect the Celery app to a node of RabbitMQ."""
    from opsconsole.celery import app

    with broker_at(own_rabbitmq.next_url()):
        app.conf.broker_transport_options = AMQP
        yield
    control.clear_cache()
    queues.clear_cache()


@pytest.fixture(params=["frozen", "alarm"])
def fault(own_rabbitmq: RabbitMQ, request: pytest.FixtureRequest) -> Iterator[None]:
    """The node accepts no connection, or reads nothing that is published on one."""
    assert control.snapshot().workers == []
    control.clear_cache()
    if request.param == "frozen":
        own_rabbitmq.send(signal.SIGSTOP)
    else:
        own_rabbitmq.control("set_disk_free_limit", "999GB")
    yield
    if request.param == "frozen":
        own_rabbitmq.send(signal.SIGCONT)
    else:
        own_rabbitmq.control("set_disk_free_limit", "50MB")


def test_the_fault_is_reported_soon(fault):
    started = time.monotonic()

    assert workers.overview().error
    assert queues.overview().error
    with pytest.raises(BrokerUnreachable):
        control.any_worker_replies()
    with pytest.raises(BrokerUnreachable):
        control.send_command("key", "enable_events", {}, destination=["w@here"])

    assert time.monotonic() - started < MAX_SECONDS


def test_concurrent_callers_wait_once(fault):
    started = time.monotonic()

    outcomes = run_concurrently(20, lambda n: control.snapshot())

    assert all(isinstance(outcome, BrokerUnreachable) for outcome in outcomes)
    assert time.monotonic() - started < MAX_SECONDS
