"""Queues: what is told of them, by whom, and what is said not to be known."""

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


@pytest.fixture(autouse=True)
def forgetful(settings):
    """What was said is kept for two seconds."""
    settings.TASKS_ADMIN_CONTROL_TIMEOUT = 0.05
    control.clear_cache()
    queues.forget()
    yield
    control.clear_cache()
    queues.forget()


def mail():
    queues.forget()
    return queues.one("mail")[0]


class TestLooks:
    def test_what_waits_and_who_consumes(self, broker):
        publish_messages(3)
        set_worker_snapshot(held={"mail": 2})

        seen = mail()

        assert (seen.waiting, seen.held, seen.unconsumed) == (3, 2, False)
        assert [one.name for one in seen.consumers] == ["w@here"]

    def test_nobody_consumes_it(self, broker):
        set_worker_snapshot(queues=["celery"])

        assert mail().unconsumed

    @pytest.mark.parametrize(("ago", "unconsumed"), [(5, False), (3600, True)])
    def test_who_is_too_busy_to_answer_is_one_and_who_fell_silent_is_none(
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

        assert mail().unconsumed == unconsumed
        assert (len(mail().consumers), len(mail().silent)) == (int(not unconsumed), int(unconsumed))
        assert ("1 is silent" in page_text(as_user(alice).get(QUEUES))) == unconsumed

    def test_one_that_stopped_is_none(self, broker):
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

        assert mail().unconsumed

    def test_queues_that_workers_consume_are_told_of(self, broker):
        set_worker_snapshot(queues=["special"])

        assert "special" in [seen.name for seen in queues.overview().queues]

    def test_how_long_the_oldest_waits(self, broker):
        publish_messages(2)
        then = timezone.now() - timedelta(minutes=5)
        Result.objects.update(date_created=then)

        seen = mail()

        assert timedelta(minutes=5) <= seen.oldest < timedelta(minutes=6)
        assert not seen.at_most

    def test_a_task_without_a_row_has_no_age(self, broker):
        publish_messages(1)
        Result.objects.all().delete()

        assert mail().oldest is None

    def test_paused(self, broker):
        Queue.objects.create(name="mail", paused_at=timezone.now(), revision=1)
        set_worker_snapshot()

        seen = mail()

        assert [one.name for one in seen.ignoring_pause] == ["w@here"]
        assert not seen.unconsumed

    @pytest.mark.parametrize("ill", ["no_broker", "mute_broker"])
    def test_what_was_known_last(self, request, ill):
        add_queue_minutes((7, 0))
        request.getfixturevalue(ill)
        begun = time.monotonic()

        seen, overview = queues.one("mail")

        assert time.monotonic() - begun < 5
        assert seen.waiting == 7
        assert seen.age is not None
        assert overview.trouble
        assert not seen.unconsumed, "nobody knows"

    def test_what_was_never_known(self, no_broker):
        assert mail().waiting is None

    def test_ten_who_look_are_one_question(self, broker, monkeypatch):
        asked = []
        depths = broker_api.depths
        monkeypatch.setattr(
            broker_api, "depths", lambda names: asked.append(names) or depths(names)
        )

        for _ in range(10):
            queues.overview()

        assert len(asked) == 1

    def test_the_cost_does_not_grow(self, broker, django_assert_num_queries):
        set_worker_snapshot()
        publish_messages(2)
        for n in range(600):
            make_result("PENDING", task_id=f"r{n}", queue="mail")
        queues.forget()

        with django_assert_num_queries(6):
            queues.overview()


class TestRates:
    def test_in_and_out(self, broker):
        add_queue_minutes((100, 0), (90, 50), (80, 50))

        seen = mail()

        assert (seen.rates.into, seen.rates.out) == (40, 50)
        assert seen.waiting == 0
        assert seen.empty_in is None

    def test_when_it_is_empty(self, broker):
        publish_messages(20)
        add_queue_minutes((40, 0), (30, 12), (20, 12))

        assert mail().empty_in == timedelta(minutes=2)

    def test_one_that_does_not_shrink(self, broker):
        publish_messages(20)
        add_queue_minutes((10, 0), (20, 1))

        assert mail().empty_in is None

    @pytest.mark.parametrize("rows", [[], [(7, 3)], [(None, 3), (None, 4)], [(7, 1), (None, 2)]])
    def test_too_little_is_known(self, broker, rows):
        add_queue_minutes(*rows)

        assert mail().rates.out is None

    def test_what_the_dispatcher_notes(self, broker):
        publish_messages(3)

        queues.record_minute()
        queues.record_minute()

        row = QueueMinute.objects.filter(queue="mail").latest("minute")
        assert row.waiting == 3

    def test_nothing_is_noted_without_a_broker(self, no_broker):
        queues.record_minute()

        assert not QueueMinute.objects.exists()

    def test_what_workers_took_adds_up(self):
        now = timezone.now()
        QueueMinute.objects.add(now, {"mail": 3})
        QueueMinute.objects.add(now, {"mail": 4, "celery": 1})

        found = dict(QueueMinute.objects.values_list("queue", "taken"))
        assert found == {"mail": 7, "celery": 1}

    def test_an_hour_of_history(self):
        add_queue_minutes((0, 0), (10, 2), (5, 6))

        history = queues.history("mail")

        assert len(history.bars) == 60
        assert (history.most, history.taken) == (10, 8)
        assert [bar.height for bar in history.bars[-3:]] == ["0", "48", "24"]
        assert history.bars[0].waiting is None


class TestDecisions:
    def test_the_later_one_wins(self):
        Queue.objects.set_paused("mail", True, revision=7)
        Queue.objects.set_paused("mail", False, revision=6)

        assert Queue.objects.paused_names() == (["mail"], 7)

    def test_workers_are_told_and_who_is_silent_is_unknown(self, broker, alice):
        set_worker_snapshot()

        operation = queues.pause(name="mail", actor=alice, reason="r")

        target = Target.objects.get(operation=operation)
        assert (target.subject, target.state, target.reason) == ("w@here", "unknown", "no_reply")
