"""Whether a dispatcher is at work: said when something waits for one, and only then."""

import signal
from datetime import timedelta

import pytest
from django.db.models import F

from tasks_admin.dispatcher.loop import Loop
from tasks_admin.models import Dispatcher, Operation
from tasks_admin.operations import dispatchers
from tests.support.factories import make_operation
from tests.support.pages import page_text
from tests.support.stack import Stack, until

SAID = "No dispatcher is running"


def later(seconds):
    Dispatcher.objects.update(last_seen_at=F("last_seen_at") - timedelta(seconds=seconds))


@pytest.mark.django_db
class TestMissing:
    """Nobody signed for a minute, and something is to be published."""

    def test_nothing_waits_for_one(self):
        assert not dispatchers.none_online()

    def test_something_waits_and_nobody_ever_signed(self):
        make_operation(1)

        assert dispatchers.none_online()

    def test_one_that_signed_is_there_for_a_minute(self):
        make_operation(1)
        dispatchers.record_heartbeat("a")
        assert not dispatchers.none_online()

        later(55)
        assert not dispatchers.none_online()

        later(10)
        assert dispatchers.none_online()
        dispatchers.record_heartbeat("a")
        assert not dispatchers.none_online()

    def test_one_of_two_is_enough(self):
        make_operation(1)
        dispatchers.record_heartbeat("a")
        later(3600)
        dispatchers.record_heartbeat("b")

        assert not dispatchers.none_online()
        assert Dispatcher.objects.count() == 2

    def test_who_leaves_is_missed_at_once(self):
        make_operation(1)
        dispatchers.record_heartbeat("a")

        dispatchers.record_stop("a")

        assert dispatchers.none_online()

    @pytest.mark.parametrize("state", ["pending", "paused", "aborted", "finished"])
    def test_what_does_not_run_waits_for_none(self, state):
        make_operation(1)
        Operation.objects.update(state=state)

        assert not dispatchers.none_online()

    def test_what_has_ended_waits_for_none(self):
        make_operation(1)
        Operation.objects.update(finished_at="2020-01-01T00:00Z")

        assert not dispatchers.none_online()

    def test_who_was_killed_is_forgotten_after_a_day(self):
        dispatchers.record_heartbeat("killed")
        later(86_500)
        dispatchers.record_heartbeat("at work")

        assert dispatchers.delete_offline() == 1
        assert Dispatcher.objects.get().name == "at work"


class TestPage:
    """The operation's page says so."""

    def test_a_banner_while_nobody_is_there(self, as_user, alice):
        page = make_operation(1).get_absolute_url()
        client = as_user(alice)
        assert SAID in page_text(client.get(page))
        assert SAID in page_text(client.get(page.replace("change", "progress")))

        dispatchers.record_heartbeat("a")

        assert SAID not in page_text(client.get(page))

    def test_none_on_the_page_of_what_is_over(self, as_user, alice):
        make_operation(1, prefix="x")
        over = make_operation(1)
        Operation.objects.filter(pk=over.pk).update(state="finished", finished_at=over.created_at)

        assert SAID not in page_text(as_user(alice).get(over.get_absolute_url()))


class TestCommand:
    """`manage.py dispatch` signs, and leaves."""

    @pytest.mark.django_db(transaction=True)
    def test_it_signs_once_in_a_while(self, broker):
        loop = Loop()
        loop.round()
        seen = Dispatcher.objects.get().last_seen_at
        assert Dispatcher.objects.get().name == loop.name

        loop.round()
        assert Dispatcher.objects.get().last_seen_at == seen

        loop.heartbeat_at -= dispatchers.HEARTBEAT_INTERVAL + 1
        loop.round()
        assert Dispatcher.objects.get().last_seen_at > seen

    @pytest.mark.django_db(transaction=True)
    def test_it_is_there_though_the_broker_is_not(self, no_broker):
        make_operation(1)

        Loop().round()

        assert not dispatchers.none_online()

    @pytest.mark.stack
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_it_leaves_when_it_is_told_to_stop(self, tmp_path, number):
        stack = Stack(tmp_path)
        stack.manage("migrate", "--verbosity", "0")
        names = "[d.name for d in Dispatcher.objects.all()]"
        try:
            stack.run("dispatch", "python", "manage.py", "dispatch")
            (name,) = until(lambda: stack.evaluate(names), "it signs")
            assert name.endswith(f":{stack.processes['dispatch'].pid}")

            stack.processes["dispatch"].send_signal(number)

            assert stack.processes["dispatch"].wait(20) == 0
            assert stack.evaluate(names) == []
        finally:
            stack.close()
