"""The control door on a RabbitMQ that is frozen, or in alarm: said soon, and nobody hangs."""

import signal
import time

import pytest

from tasks_admin import queues, workers
from tasks_admin.integrations import control
from tasks_admin.lib.errors import BrokerUnreachable
from tests.conftest import broker_at
from tests.support.factories import run_concurrently
from tests.support.servers import RabbitMQ

pytestmark = [pytest.mark.rabbitmq, pytest.mark.django_db]
#: Seconds, for what takes one: the machine may be busy. kombu would try for ever.
SOON = 20
AMQP = {"confirm_publish": True, "read_timeout": 5, "write_timeout": 5, "confirm_timeout": 5}


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    node = RabbitMQ(tmp_path_factory.mktemp("rabbitmq"))
    yield node
    node.close()


@pytest.fixture(autouse=True)
def rabbit(node):
    from opsconsole.celery import app

    with broker_at(node.url):
        app.conf.broker_transport_options = AMQP
        yield
    control.clear_cache()
    queues.clear_cache()


@pytest.fixture(params=["frozen", "alarm"])
def ill(node, request):
    """It takes no connection, or takes one and reads nothing that is published."""
    assert control.snapshot().workers == []
    control.clear_cache()
    if request.param == "frozen":
        node.send(signal.SIGSTOP)
    else:
        node.control("set_disk_free_limit", "999GB")
    yield request.param
    if request.param == "frozen":
        node.send(signal.SIGCONT)
    else:
        node.control("set_disk_free_limit", "50MB")


def test_it_is_said_soon(ill):
    begun = time.monotonic()

    assert workers.overview().error
    assert queues.overview().error
    with pytest.raises(BrokerUnreachable):
        control.any_worker_replies()
    with pytest.raises(BrokerUnreachable):
        control.send_command("key", "enable_events", {}, destination=["w@here"])

    assert time.monotonic() - begun < SOON


def test_a_crowd_waits_once(ill):
    begun = time.monotonic()

    outcomes = run_concurrently(20, lambda n: control.snapshot())

    assert all(isinstance(outcome, BrokerUnreachable) for outcome in outcomes)
    assert time.monotonic() - begun < SOON
