"""The messages in the queues of real brokers: depth, peek, take and put."""

from contextlib import suppress

import pytest

from tasks_admin.integrations import broker as broker_api
from tests.conftest import broker_at
from tests.support.shared import rabbitmq_vhost


@pytest.fixture(scope="module")
def module_rabbitmq_url(shared_dir):
    """A virtual host for the tests of this module."""
    return rabbitmq_vhost(shared_dir)


@pytest.fixture(params=["valkey", "prefixed", pytest.param("rabbit", marks=pytest.mark.rabbitmq)])
def queue(request):
    """The name of an empty queue on each kind of broker."""
    from opsconsole.celery import app

    if request.param == "rabbit":
        with broker_at(request.getfixturevalue("module_rabbitmq_url")):
            app.conf.broker_transport_options = {"confirm_publish": True, "read_timeout": 5}
            with broker_api.connect() as connection, suppress(Exception):
                connection.default_channel.queue_delete("mail")
            yield "mail"
        return
    request.getfixturevalue("broker")
    before = app.conf.broker_transport_options
    if request.param == "prefixed":
        app.conf.broker_transport_options = before | {"global_keyprefix": "ours:"}
    yield "mail"
    app.conf.broker_transport_options = before


def publish(numbers, queue="mail", **more):
    broker_api.publish(
        [
            broker_api.Message(task_id=f"t{n}", task="tests.t", args=[n], queue=queue, **more)
            for n in numbers
        ]
    )


def numbers(payloads):
    return [payload.arguments[0][0] for payload in payloads]


def waiting(queue):
    return broker_api.depths([queue]).queues[queue].waiting


class TestDepthAndPeek:
    def test_empty_queue(self, queue):
        assert waiting(queue) == 0
        assert broker_api.peek(queue, 5) == []

    def test_undeclared_queue(self, queue):
        assert waiting("undeclared") == 0

    def test_depth(self, queue):
        publish(range(7))

        assert waiting(queue) == 7

    def test_peek_in_order(self, queue):
        publish(range(7))

        payloads = broker_api.peek(queue, 3)

        assert numbers(payloads) == [0, 1, 2]
        assert payloads[0].task_id == "t0"
        assert payloads[0].task == "tests.t"

    def test_peek_takes_nothing(self, queue):
        publish(range(3))
        before = [payload.digest for payload in broker_api.peek(queue, 5)]

        assert [payload.digest for payload in broker_api.peek(queue, 5)] == before
        assert waiting(queue) == 3


class TestTakeAndPut:
    def take(self, queue, key, most=5):
        found = []
        while True:
            with broker_api.take(queue, key, most) as payloads:
                found += payloads
            if not payloads:
                return found

    def test_messages_are_put_back_unchanged(self, queue):
        publish(range(12))
        before = [payload.digest for payload in broker_api.peek(queue, 50)]
        broker_api.stage(queue, "k")
        taken = self.take(queue, "k")
        assert [payload.digest for payload in taken] == before
        assert waiting(queue) == 0

        broker_api.put(queue, taken, "k.1")

        after = broker_api.peek(queue, 50)
        assert [payload.digest for payload in after] == before
        assert [payload.raw for payload in after] == [payload.raw for payload in taken]

    def test_messages_remain_after_an_error(self, queue):
        publish(range(4))
        broker_api.stage(queue, "k")

        with pytest.raises(ZeroDivisionError), broker_api.take(queue, "k", 3) as payloads:
            assert numbers(payloads) == [0, 1, 2]
            raise ZeroDivisionError

        assert numbers(self.take(queue, "k")) == [0, 1, 2, 3]

    def test_staged_twice_is_staged_once(self, queue):
        publish(range(3))
        first = broker_api.stage(queue, "k")

        assert broker_api.stage(queue, "k") == first
        assert numbers(self.take(queue, "k")) == [0, 1, 2]


class TestRedis:
    """Properties of the lists of Redis."""

    def test_all_priorities(self, broker):
        from opsconsole.celery import app

        with app.connection_for_write() as connection, app.amqp.Producer(connection) as producer:
            for number, priority in enumerate([0, 3, 6, 9, 3]):
                body = ([number], {}, {})
                producer.publish(
                    body, routing_key="mail", serializer="json", priority=priority,
                    headers={"id": str(number), "task": "tests.t"},
                )  # fmt: skip

        assert waiting("mail") == 5
        assert numbers(broker_api.peek("mail", 9)) == [0, 1, 4, 2, 3]
        keys = {key: broker.lrange(key, 0, -1) for key in broker.scan_iter("mail*")}
        assert len(keys) == 4

        broker_api.stage("mail", "k")
        with broker_api.take("mail", "k", 9) as payloads:
            pass
        assert not broker.keys("mail*")
        broker_api.put("mail", payloads, "k")

        assert {key: broker.lrange(key, 0, -1) for key in broker.scan_iter("mail*")} == keys

    def test_staged_messages_leave_the_queue(self, broker):
        publish(range(3))

        broker_api.stage("mail", "k")
        publish([9])

        assert numbers(broker_api.peek("mail", 5)) == [9]

    def test_put_twice_is_put_once(self, broker):
        publish([1])
        payloads = broker_api.peek("mail", 1)

        broker_api.put("mail", payloads, "again")
        broker_api.put("mail", payloads, "again")

        assert waiting("mail") == 2

    def test_put_messages_come_first(self, broker):
        publish(range(2))
        broker_api.stage("mail", "k")
        with broker_api.take("mail", "k", 5) as payloads:
            pass
        publish([7])

        broker_api.put("mail", payloads, "k")

        assert numbers(broker_api.peek("mail", 5)) == [0, 1, 7]

    def test_concurrent_take_loses_nothing(self, broker):
        publish(range(4))
        broker_api.stage("mail", "k")

        with broker_api.take("mail", "k", 2) as slow:
            with broker_api.take("mail", "k", 2) as fast:
                pass
            assert numbers(slow) == numbers(fast)

        with broker_api.take("mail", "k", 5) as rest:
            assert numbers(rest) == [2, 3]

    def test_unacknowledged(self, broker):
        broker.hset("unacked", "tag", "[]")

        assert broker_api.depths([]).unacknowledged == 1

    @pytest.mark.parametrize("raw", [b"", b"\xff\x00", b"[]", b"7", b'{"body": 7}', b"{" * 9999])
    def test_invalid_message_is_kept(self, broker, raw):
        broker.lpush("mail", raw)

        (payload,) = broker_api.peek("mail", 1)

        assert payload.raw == raw
        assert (payload.task, payload.task_id, payload.arguments) == ("", "", None)


@pytest.mark.rabbitmq
class TestRabbitMQ:
    def test_quorum_queue_is_not_peeked(self, module_rabbitmq_url):
        from kombu import Queue

        from opsconsole.celery import app
        from tasks_admin.lib.errors import WrongState

        with broker_at(module_rabbitmq_url):
            app.amqp.queues.add(Queue("q", queue_arguments={"x-queue-type": "quorum"}))
            with pytest.raises(WrongState, match="quorum"):
                broker_api.peek("q", 1)


def test_no_broker(no_broker):
    from tasks_admin.lib.errors import BrokerUnreachable

    with pytest.raises(BrokerUnreachable):
        broker_api.depths(["mail"])
    with pytest.raises(BrokerUnreachable):
        broker_api.stage("mail", "k")


def test_unsupported_broker():
    from tasks_admin.lib.errors import WrongState

    with broker_at("memory://"), pytest.raises(WrongState, match="memory"):
        broker_api.depths(["mail"])
