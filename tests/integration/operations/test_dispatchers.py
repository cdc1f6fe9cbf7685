"""The page of an operation shows a warning when it needs a dispatcher and none is running."""

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

WARNING = "No dispatcher is running"


def advance_clock(seconds):
    Dispatcher.objects.update(last_seen_at=F("last_seen_at") - timedelta(seconds=seconds))


@pytest.mark.django_db
class TestMissing:
    """No dispatcher wrote a heartbeat for a minute, and an operation has targets to publish."""

    def test_not_missing_without_operations(self):
        assert not dispatchers.none_online()

    def test_missing_when_an_operation_runs_and_no_dispatcher_ever_started(self):
        make_operation(1)

        assert dispatchers.none_online()

    def test_a_heartbeat_is_valid_for_a_minute(self):
        make_operation(1)
        dispatchers.record_heartbeat("a")
        assert not dispatchers.none_online()

        advance_clock(55)
        assert not dispatchers.none_online()

        advance_clock(10)
        assert dispatchers.none_online()
        dispatchers.record_heartbeat("a")
        assert not dispatchers.none_online()

    def test_one_online_dispatcher_of_two_is_enough(self):
        make_operation(1)
        dispatchers.record_heartbeat("a")
        advance_clock(3600)
        dispatchers.record_heartbeat("b")

        assert not dispatchers.none_online()
        assert Dispatcher.objects.count() == 2

    def test_a_dispatcher_that_stops_is_missing_at_once(self):
        make_operation(1)
        dispatchers.record_heartbeat("a")

        dispatchers.record_stop("a")

        assert dispatchers.none_online()

    @pytest.mark.parametrize("state", ["pending", "paused", "aborted", "finished"])
    def test_an_operation_that_does_not_run_needs_no_dispatcher(self, state):
        make_operation(1)
        Operation.objects.update(state=state)

        assert not dispatchers.none_online()

    def test_a_finished_operation_needs_no_dispatcher(self):
        make_operation(1)
        Operation.objects.update(finished_at="2020-01-01T00:00Z")

        assert not dispatchers.none_online()

    def test_a_killed_dispatcher_is_deleted_after_a_day(self):
        dispatchers.record_heartbeat("killed")
        advance_clock(86_500)
        dispatchers.record_heartbeat("running")

        assert dispatchers.delete_offline() == 1
        assert Dispatcher.objects.get().name == "running"


class TestPage:
    """The operation's page shows the warning."""

    def test_a_warning_while_no_dispatcher_is_online(self, as_user, alice):
        page = make_operation(1).get_absolute_url()
        client = as_user(alice)
        assert WARNING in page_text(client.get(page))
        assert WARNING in page_text(client.get(page.replace("change", "progress")))

        dispatchers.record_heartbeat("a")

        assert WARNING not in page_text(client.get(page))

    def test_no_warning_for_a_finished_operation(self, as_user, alice):
        make_operation(1, prefix="x")
        finished = make_operation(1)
        Operation.objects.filter(pk=finished.pk).update(
            state="finished", finished_at=finished.created_at
        )

        assert WARNING not in page_text(as_user(alice).get(finished.get_absolute_url()))


class TestCommand:
    """`manage.py dispatch` writes heartbeats, and deletes its row when it stops."""

    @pytest.mark.django_db(transaction=True)
    def test_it_writes_a_heartbeat_at_an_interval(self, broker):
        loop = Loop()
        loop.round()
        first = Dispatcher.objects.get().last_seen_at
        assert Dispatcher.objects.get().name == loop.name

        loop.round()
        assert Dispatcher.objects.get().last_seen_at == first

        loop.heartbeat_at -= dispatchers.HEARTBEAT_INTERVAL + 1
        loop.round()
        assert Dispatcher.objects.get().last_seen_at > first

    @pytest.mark.django_db(transaction=True)
    def test_it_writes_a_heartbeat_while_the_broker_is_unavailable(self, no_broker):
        make_operation(1)

        Loop().round()

        assert not dispatchers.none_online()

    @pytest.mark.stack
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_it_deletes_its_row_on_a_stop_signal(self, tmp_path, number):
        stack = Stack(tmp_path)
        stack.manage("migrate", "--verbosity", "0")
        names = "[d.name for d in Dispatcher.objects.all()]"
        try:
            stack.run("dispatch", "python", "manage.py", "dispatch")
            (name,) = until(lambda: stack.evaluate(names), "a heartbeat")
            assert name.endswith(f":{stack.processes['dispatch'].pid}")

            stack.processes["dispatch"].send_signal(number)

            assert stack.processes["dispatch"].wait(20) == 0
            assert stack.evaluate(names) == []
        finally:
            stack.close()
