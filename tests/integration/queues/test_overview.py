"""The overview of queues: state, rates, history, and unknown values."""

import time
import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from tasks_admin import queues
from tasks_admin.integrations import broker as broker_api
from tasks_admin.integrations import control
from tasks_admin.models import Queue, QueueMinute, Result, Target, Worker
from tests.support.factories import make_result
from tests.support.pages import QUEUES, page_text
from tests.support.queue_data import add_queue_minutes, publish_messages, set_worker_snapshot

pytestmark = pytest.mark.django_db
#: Seconds on a busy machine; without timeouts the response would never come.
MAX_SECONDS = 30


@pytest.fixture(autouse=True)
def clear_caches(settings):
    """The process keeps snapshots for two seconds."""
    settings.TASKS_ADMIN_CONTROL_TIMEOUT = 0.05
    control.clear_cache()
    queues.clear_cache()
    yield
    control.clear_cache()
    queues.clear_cache()


def mail_queue():
    queues.clear_cache()
    return queues.find("mail")[0]


class TestOverview:
    def test_waiting_and_consumers(self, broker):
        publish_messages(3)
        set_worker_snapshot(held={"mail": 2})

        queue = mail_queue()

        assert (queue.waiting, queue.in_flight, queue.unconsumed) == (3, 2, False)
        assert [worker.name for worker in queue.consumers] == ["w@here"]

    def test_no_consumers(self, broker):
        set_worker_snapshot(queues=["celery"])

        assert mail_queue().unconsumed

    @pytest.mark.parametrize(("ago", "unconsumed"), [(5, False), (3600, True)])
    def test_busy_worker_is_a_consumer_and_offline_worker_is_not(
        self, broker, as_user, alice, ago, unconsumed
    ):
        then = timezone.now() - timedelta(seconds=ago)
        Worker.objects.create(
            name="w",
            start_id=uuid.uuid4(),
            started_at=then,
            last_seen_at=then,
            last_snapshot={"queues": ["mail"]},
        )

        assert mail_queue().unconsumed == unconsumed
        assert (len(mail_queue().consumers), len(mail_queue().unresponsive_consumers)) == (
            int(not unconsumed),
            int(unconsumed),
        )
        assert ("(+1 not responding)" in page_text(as_user(alice).get(QUEUES))) == unconsumed

    def test_stopped_worker_is_no_consumer(self, broker):
        now = timezone.now()
        last_snapshot = {"queues": ["mail"]}
        Worker.objects.create(
            name="w",
            start_id=uuid.uuid4(),
            started_at=now,
            last_seen_at=now,
            stopped_at=now,
            last_snapshot=last_snapshot,
        )

        assert mail_queue().unconsumed

    def test_queue_that_only_a_worker_consumes(self, broker):
        set_worker_snapshot(queues=["special"])

        assert "special" in [queue.name for queue in queues.overview().queues]

    def test_age_of_the_oldest_message(self, broker):
        publish_messages(2)
        then = timezone.now() - timedelta(minutes=5)
        Result.objects.update(date_created=then)

        queue = mail_queue()

        assert timedelta(minutes=5) <= queue.oldest < timedelta(minutes=6)
        assert not queue.oldest_is_bound

    def test_message_without_a_result_has_no_age(self, broker):
        publish_messages(1)
        Result.objects.all().delete()

        assert mail_queue().oldest is None

    def test_paused_queue(self, broker):
        Queue.objects.create(name="mail", paused_at=timezone.now(), revision=1)
        set_worker_snapshot()

        queue = mail_queue()

        assert [worker.name for worker in queue.ignoring_pause] == ["w@here"]
        assert not queue.unconsumed

    @pytest.mark.parametrize("ill", ["no_broker", "unresponsive_broker"])
    def test_last_known_values(self, request, ill):
        add_queue_minutes((7, 0))
        request.getfixturevalue(ill)
        begun = time.monotonic()

        queue, overview = queues.find("mail")

        assert time.monotonic() - begun < MAX_SECONDS
        assert queue.waiting == 7
        assert queue.age is not None
        assert overview.error
        assert not queue.unconsumed, "consumers are not known"

    def test_never_observed(self, no_broker):
        assert mail_queue().waiting is None

    def test_ten_requests_share_one_snapshot(self, broker, monkeypatch):
        asked = []
        depths = broker_api.depths
        monkeypatch.setattr(
            broker_api, "depths", lambda names: asked.append(names) or depths(names)
        )

        for _ in range(10):
            queues.overview()

        assert len(asked) == 1

    def test_number_of_queries(self, broker, django_assert_num_queries):
        set_worker_snapshot()
        publish_messages(2)
        for n in range(600):
            make_result("PENDING", task_id=f"r{n}", queue="mail")
        queues.clear_cache()

        with django_assert_num_queries(6):
            queues.overview()


class TestRates:
    def test_incoming_and_outgoing(self, broker):
        add_queue_minutes((100, 0), (90, 50), (80, 50))

        queue = mail_queue()

        assert (queue.rates.incoming, queue.rates.outgoing) == (40, 50)
        assert queue.waiting == 0
        assert queue.drains_in is None

    def test_drains_in(self, broker):
        publish_messages(20)
        add_queue_minutes((40, 0), (30, 12), (20, 12))

        assert mail_queue().drains_in == timedelta(minutes=2)

    def test_not_draining(self, broker):
        publish_messages(20)
        add_queue_minutes((10, 0), (20, 1))

        assert mail_queue().drains_in is None

    @pytest.mark.parametrize("rows", [[], [(7, 3)], [(None, 3), (None, 4)], [(7, 1), (None, 2)]])
    def test_too_few_observations(self, broker, rows):
        add_queue_minutes(*rows)

        assert mail_queue().rates.outgoing is None

    def test_dispatcher_records_minutes(self, broker):
        publish_messages(3)

        queues.record_minute()
        queues.record_minute()

        row = QueueMinute.objects.filter(queue="mail").latest("minute")
        assert row.waiting == 3

    def test_nothing_is_recorded_without_a_broker(self, no_broker):
        queues.record_minute()

        assert not QueueMinute.objects.exists()

    def test_taken_messages_add_up(self):
        now = timezone.now()
        QueueMinute.objects.add(now, {"mail": 3})
        QueueMinute.objects.add(now, {"mail": 4, "celery": 1})

        found = dict(QueueMinute.objects.values_list("queue", "taken"))
        assert found == {"mail": 7, "celery": 1}

    def test_history(self):
        add_queue_minutes((0, 0), (10, 2), (5, 6))

        history = queues.history("mail")

        assert len(history.bars) == 60
        assert (history.peak, history.summary) == (10, "Peak 10 waiting · 8 processed")
        assert [bar.height for bar in history.bars[-3:]] == ["0", "48", "24"]
        assert (history.bars[0].count, history.bars[0].text) == (None, "not known")
        assert (history.bars[-3].count, history.bars[-3].text) == (0, "0 waiting, 0 processed")


class TestDecisions:
    def test_later_decision_wins(self):
        Queue.objects.set_paused("mail", True, revision=7)
        Queue.objects.set_paused("mail", False, revision=6)

        assert Queue.objects.paused_names() == (["mail"], 7)

    def test_worker_that_does_not_reply_is_unknown(self, broker, alice):
        set_worker_snapshot()

        operation = queues.pause(name="mail", actor=alice, reason="r")

        target = Target.objects.get(operation=operation)
        assert (target.subject, target.state, target.reason) == ("w@here", "unknown", "no_reply")
