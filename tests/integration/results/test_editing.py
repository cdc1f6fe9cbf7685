"""Edit and retry: the arguments are checked before anything is stored, and the same for all."""

import datetime as dt

import pytest
from celery import shared_task

from tasks_admin import dispatcher, operations, results
from tasks_admin.lib.errors import NotAllowed, NothingToDo, WrongArguments, WrongState
from tasks_admin.models import Operation, Result, Target
from tasks_admin.operations import Confirmation
from tasks_admin.results import editing
from tests.conftest import grant
from tests.support.factories import RESET, confirmed, make_result, queued_messages

TASK = "tests.charge"


@shared_task(name=TASK)
def charge(order: int, *, amount: float = 1.0, password: str = "", when: dt.date | None = None):
    """A task of the project."""


def edit(actor, *rows, args=(7,), **more):
    chosen = Result.objects.filter(pk__in=[row.pk for row in rows])
    confirmation = confirmed(more, actor=actor, reason="r")
    kwargs = more.pop("kwargs", {})
    return editing.edit_and_retry(
        results=chosen, args=list(args), kwargs=kwargs, confirmation=confirmation, **more
    )


def test_the_edited_arguments_are_sent(broker, alice):
    row = make_result(task=TASK, args=[1], kwargs={"amount": 2.0}, queue="mail")
    day = dt.date(2026, 1, 31)

    edit(alice, row, args=[9], kwargs={"amount": 3.0, "when": day})
    dispatcher.sweep()

    (message,) = queued_messages(broker)
    assert message.args == [9]
    assert message.kwargs["amount"] == 3.0
    assert isinstance(message.kwargs["amount"], float)
    assert "2026-01-31" in str(message.kwargs["when"])
    assert message.headers["task"] == TASK
    again = Result.objects.get(task_id=message.id)
    assert again.arguments[1:] == ([9], {"amount": 3.0, "when": day})
    row.refresh_from_db()
    assert row.arguments[1] == [1]


def test_all_results_get_the_same_arguments(broker, alice):
    rows = [make_result(task=TASK, args=[number]) for number in range(3)]

    operation = edit(alice, *rows, args=[5])
    dispatcher.sweep()

    assert [message.args for message in queued_messages(broker)] == [[5]] * 3
    assert operation.total == 3
    assert operation.changes == [{"name": "order", "old": None, "new": "5"}]


@pytest.mark.parametrize(
    ("args", "kwargs", "name"),
    [
        ([], {}, "order"),
        (["7"], {}, "order"),
        ([7, 8], {}, "2"),
        ([7], {"nosuch": 1}, "nosuch"),
        ([7], {"amount": "much"}, "amount"),
        ([7], {"amount": float("nan")}, "amount"),
        ([7], {"when": "2026-01-31"}, "when"),
    ],
)
def test_arguments_that_the_task_does_not_accept_are_refused(alice, args, kwargs, name):
    row = make_result(task=TASK, args=[1])

    with pytest.raises(WrongArguments) as error:
        edit(alice, row, args=args, kwargs=kwargs)

    assert set(error.value.problems) == {name}
    assert not Operation.objects.exists()


def test_arguments_that_are_too_large_are_refused(alice, settings):
    settings.TASKS_ADMIN_ARGUMENTS_MAX_BYTES = 100
    row = make_result(task=TASK, args=[1])

    with pytest.raises(WrongArguments, match="too large"):
        edit(alice, row, kwargs={"password": "x" * 200})


def test_a_result_with_lossy_arguments_can_be_edited(broker, alice):
    row = make_result(task=TASK, task_args='"(1, {...})"')

    operation = edit(alice, row)
    dispatcher.sweep()

    assert [message.args for message in queued_messages(broker)] == [[7]]
    assert operation.changes == [{"name": "order", "old": None, "new": "7"}]


def test_changes_are_recorded_masked(alice):
    row = make_result(task=TASK, args=[1], kwargs={"password": "old-secret"})

    operation = edit(alice, row, args=[1], kwargs={"password": "new-secret"})

    (change,) = operation.changes
    assert change["name"] == "password"
    assert "secret" not in f"{change}"
    assert "new-secret" not in f"{operation.arguments['changes']}"


def test_the_permission_is_required(charlie, make_user):
    row = make_result(task=TASK)
    clerk = grant(make_user(is_staff=True), "tasks_admin.retry_failed")

    for actor in (charlie, clerk):
        with pytest.raises(NotAllowed):
            edit(actor, row)

    assert not Operation.objects.exists()


def test_a_reset_email_requires_the_permission_to_send_it(make_user):
    row = make_result(task=RESET, args=[1])
    editor = grant(make_user(is_staff=True), "tasks_admin.edit_and_retry")

    with pytest.raises(NotAllowed):
        edit(editor, row, args=[2])

    grant(editor, "tasks_admin.send_reset_email")
    assert edit(type(editor).objects.get(pk=editor.pk), row, args=[2]).total == 1


def test_results_of_several_tasks_are_refused(alice):
    rows = [make_result(task=TASK), make_result(task=RESET)]

    with pytest.raises(WrongState, match=f"{RESET}, {TASK}"):
        edit(alice, *rows)


@pytest.mark.parametrize("task", ["no.such.task", "celery.backend_cleanup", None])
def test_a_task_that_cannot_be_queued_is_refused(alice, task):
    with pytest.raises(WrongState, match="cannot be retried"):
        edit(alice, make_result(task_name=task))


def test_an_empty_selection(alice, db):
    with pytest.raises(WrongState, match="No results are selected"):
        editing.edit_and_retry(
            results=Result.objects.none(),
            args=[1],
            kwargs={},
            confirmation=Confirmation(actor=alice, reason="r"),
        )


def test_each_result_is_retried_once_by_any_verb(alice):
    one, other = make_result(task=TASK), make_result(task=TASK)
    edit(alice, one)
    results.retry_failed(
        results=Result.objects.filter(pk=other.pk),
        confirmation=Confirmation(actor=alice, reason="r"),
    )

    for row in (one, other):
        with pytest.raises(NothingToDo, match="Already retried by alice"):
            edit(alice, row)
    with pytest.raises(NothingToDo):
        results.retry_failed(
            results=Result.objects.all(), confirmation=Confirmation(actor=alice, reason="r")
        )

    assert Target.objects.count() == 2


def test_only_failed_tasks_are_retried(alice):
    rows = [make_result(status, task=TASK) for status in ("SUCCESS", "PENDING", "FAILURE")]

    operation = edit(alice, *rows)

    assert operation.total == 1


def test_after_an_aborted_retry_another_is_possible(alice):
    row = make_result(task=TASK)
    operation = edit(alice, row)
    operations.abort(operation=operation, actor=alice, reason="r")

    assert edit(alice, row).total == 1
