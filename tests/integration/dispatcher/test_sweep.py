"""A sweep publishes the due targets, up to the window of each operation."""

import json

import pytest
from celery import Task, shared_task, signals

from tasks_admin import dispatcher, operations
from tasks_admin.dispatcher import messages
from tasks_admin.integrations import broker as broker_api
from tasks_admin.models import Operation, Result, Target
from tasks_admin.operations import Confirmation
from tasks_admin.results import retry_failed
from tests.support.factories import (
    RESET,
    make_operation,
    make_result,
    make_target,
    make_users,
    queued_messages,
    run_concurrently,
)

pytestmark = pytest.mark.django_db


def states():
    return sorted(Target.objects.values_list("state", flat=True))


def retry(*rows, actor):
    results = Result.objects.filter(pk__in=[row.pk for row in rows])
    return retry_failed(results=results, confirmation=Confirmation(actor=actor, reason="r"))


def test_each_due_target_becomes_one_message(broker):
    operation = make_operation(3)

    assert dispatcher.sweep() == 3

    targets = list(operation.targets.order_by("pk"))
    messages = queued_messages(broker)
    assert [message.id for message in messages] == [target.task_id for target in targets]
    assert [message.args for message in messages] == [[int(t.subject)] for t in targets]
    assert {(target.state, target.attempt) for target in targets} == {("queued", 1)}


def test_a_message_has_the_headers_that_a_worker_needs(broker):
    make_operation(1)

    dispatcher.sweep()

    (message,) = queued_messages(broker)
    assert message.headers["task"] == RESET
    assert message.headers["timelimit"] == [20, 15]
    assert message.headers["ignore_result"] is False
    assert message.kwargs == {}
    assert json.loads(broker.lrange("mail", 0, 0)[0])["content-type"] == "application/json"


def test_a_message_contains_no_name_and_no_email_address(broker):
    make_operation(1, prefix="recipient")

    dispatcher.sweep()

    (raw,) = broker.lrange("mail", 0, -1)
    assert b"recipient" not in raw
    assert b"mail.example" not in raw


def test_a_pending_result_is_stored_before_a_worker_receives_the_task(broker):
    operation = make_operation(1)

    dispatcher.sweep()

    row = Result.objects.get()
    assert (row.task_id, row.status) == (operation.targets.get().task_id, "PENDING")
    assert (row.task_name, row.queue) == (RESET, "mail")
    assert row.arguments[1] == [int(operation.targets.get().subject)]


def test_a_second_sweep_publishes_nothing_twice(broker):
    make_operation(3)
    dispatcher.sweep()

    assert dispatcher.sweep() == 0
    assert broker.llen("mail") == 3


def test_a_target_that_is_not_due_waits(broker):
    make_target("waiting", due=60)

    assert dispatcher.sweep() == 0


def test_no_more_than_the_window_is_in_flight(broker, settings):
    settings.TASKS_ADMIN_WINDOW = 3
    operation = make_operation(5)

    assert dispatcher.sweep() == 3
    assert dispatcher.sweep() == 0

    one = operation.targets.filter(state="queued").order_by("pk")[:1]
    Target.objects.filter(pk__in=one.values("pk")).settle("done")
    assert dispatcher.sweep() == 1
    assert states() == ["done", "queued", "queued", "queued", "waiting"]


def test_each_operation_has_its_own_window(broker, settings):
    settings.TASKS_ADMIN_WINDOW = 2
    make_operation(3, prefix="a")
    make_operation(3, prefix="b")

    assert dispatcher.sweep() == 4


@pytest.mark.parametrize("state", ["paused", "aborted"])
def test_only_running_operations_are_published(broker, state):
    make_operation(2)
    Operation.objects.update(state=state)

    assert dispatcher.sweep() == 0
    assert broker.llen("mail") == 0


def test_a_target_requeued_in_an_aborted_operation_is_cancelled(broker, alice):
    target = make_target("running", due=60)
    operations.abort(operation=target.operation, actor=alice, reason="r")
    Target.objects.all().requeue(30, reason="delayed")

    dispatcher.sweep()

    operation = Operation.objects.get(pk=target.operation_id)
    assert (operation.state, operation.is_finished) == ("aborted", True)
    assert operation.outcome_counts == {"cancelled": 1}


def test_an_operation_with_an_unknown_verb_is_ignored(broker):
    make_operation(1)
    Operation.objects.update(verb="from_the_future")

    assert dispatcher.sweep() == 0
    assert states() == ["waiting"]


def test_an_operation_finishes_with_its_last_target(broker):
    operation = make_operation(2)
    operation.targets.all().settle("done")

    dispatcher.sweep()

    operation.refresh_from_db()
    assert (operation.state, operation.is_finished, operation.outcome_counts) == (
        "finished",
        True,
        {"done": 2},
    )


def test_a_paused_operation_does_not_finish(broker):
    operation = make_operation(1)
    operation.targets.all().settle("done")
    Operation.objects.update(state="paused")

    dispatcher.sweep()

    operation.refresh_from_db()
    assert not operation.is_finished


@pytest.mark.django_db(transaction=True)
def test_three_dispatchers_publish_each_target_once(broker):
    operation = make_operation(30)

    outcomes = run_concurrently(3, lambda n: dispatcher.sweep())

    assert sum(outcomes) == 30, outcomes
    ids = [message.id for message in queued_messages(broker)]
    assert sorted(ids) == sorted(target.task_id for target in operation.targets.all())


def test_signals_are_sent_when_a_receiver_is_connected(broker):
    received = []

    def listen(signal, sender, headers, body, routing_key, **kwargs):
        received.append((signal.name, sender, headers["id"], body[0], routing_key))

    make_operation(1)
    for signal in (signals.before_task_publish, signals.after_task_publish):
        signal.connect(listen, weak=False, dispatch_uid="test")
    try:
        dispatcher.sweep()
    finally:
        for signal in (signals.before_task_publish, signals.after_task_publish):
            signal.disconnect(dispatch_uid="test")

    target = Target.objects.get()
    expected = (RESET, target.task_id, (int(target.subject),), "mail")
    assert received == [("before_task_publish", *expected), ("after_task_publish", *expected)]


class TestRetry:
    """A retry is the same task with the same arguments on the same queue."""

    def test_it_repeats_the_task_its_arguments_and_its_queue(self, broker, alice):
        args, kwargs = [1, "zwei", [3.5, None], {"vier": "四"}], {"später": True}
        old = make_result(args=args, kwargs=kwargs, queue="elsewhere", task="tests.echo")
        retry(old, actor=alice)

        dispatcher.sweep()

        (message,) = queued_messages(broker, "elsewhere")
        assert (message.headers["task"], message.args, message.kwargs) == (
            "tests.echo", args, kwargs,
        )  # fmt: skip
        assert message.id != old.task_id
        row = Result.objects.get(task_id=message.id)
        assert (row.task_args, row.task_kwargs, row.queue) == (
            old.task_args, old.task_kwargs, "elsewhere",
        )  # fmt: skip

    def test_without_a_recorded_queue_the_task_routes_decide(self, broker, alice):
        retry(make_result(meta=None), actor=alice)

        dispatcher.sweep()

        assert broker.llen("mail") == 1

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"task_id": "gone"}, "expired"),
            ({"task_name": "no.such.task"}, "unregistered"),
            ({"task_name": None}, "unregistered"),
            ({"task_name": "tests.plain"}, "unprotected"),
            ({"task_args": '"(1, ...)"'}, "lossy"),
            ({"task_args": "[1, "}, "lossy"),
            ({"task_args": None}, "lossy"),
        ],
    )
    def test_a_changed_result_is_skipped_with_the_reason(self, broker, alice, change, reason):
        old = make_result()
        retry(old, actor=alice)
        Result.objects.filter(pk=old.pk).update(**change)

        assert dispatcher.sweep() == 0

        target = Target.objects.get()
        assert (target.state, target.reason, target.lock_key) == ("skipped", reason, None)
        assert Operation.objects.get().is_finished

    def test_skipping_needs_no_broker(self, no_broker, alice):
        old = make_result()
        retry(old, actor=alice)
        old.delete()

        dispatcher.sweep()

        assert states() == ["skipped"]


@shared_task(name="tests.echo")
def echo(*args, **kwargs):
    return [args, kwargs]


@shared_task(name="tests.plain", base=Task)
def plain():
    """A task whose class does not claim targets."""


def test_a_key_in_canonical_decimal_form_becomes_a_number():
    assert [messages._key(text) for text in ("7", "007", "x7", "-7", "٧")] == [
        7, "007", "x7", "-7", "٧",
    ]  # fmt: skip


def test_a_task_is_routed_by_the_projects_settings(broker):
    assert broker_api.build_message(task_id="x", task=RESET).queue == "mail"
    assert broker_api.build_message(task_id="x", task="no.such.task").queue == "celery"
    assert broker_api.build_message(task_id="x", task=RESET, queue="other").queue == "other"


def test_users_without_a_target_get_no_message(broker):
    make_users(2)

    assert dispatcher.sweep() == 0
