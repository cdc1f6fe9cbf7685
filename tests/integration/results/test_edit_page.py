"""The form of a task's arguments: filled, validated, confirmed and sent."""

import re

import pytest
from celery import shared_task

from tasks_admin import dispatcher
from tasks_admin.lib.masks import MASK
from tasks_admin.models import Operation, Result, Target
from tests.support.factories import make_failure_group, make_operation, make_result, queued_messages
from tests.support.pages import (
    FAILURE_GROUPS,
    OPERATIONS,
    RESULTS,
    confirm,
    hidden_fields,
    page_text,
    run_action,
)

TASK = "tests.parcel"
HOSTILE = "<script>alert(1)</script>"
pytestmark = pytest.mark.django_db


@shared_task(name=TASK)
def parcel(order: int, address: str = "", *, token: str = "", express: bool = False):
    """A task of the project."""


@pytest.fixture
def client(as_user, alice):
    return as_user(alice)


def open_form(client, *rows):
    return run_action(client, RESULTS, "edit_and_retry", rows)


def submit(client, page, path=RESULTS, **values):
    """Submit the form of the arguments."""
    filled = dict(re.findall(r'<input type="text" name="(arg-\w+)" value="([^"]*)"', _html(page)))
    texts = re.findall(r'<textarea name="(arg-\w+)"[^>]*>\n?([^<]*)</textarea>', _html(page))
    for name, options in re.findall(
        r'<select name="([\w-]+)"[^>]*>(.*?)</select>', _html(page), re.S
    ):
        filled[name] = re.search(r'value="([^"]*)" selected', options)[1]
    return client.post(
        path, hidden_fields(page) | filled | dict(texts) | {"check": "Review"} | values
    )


def _html(page):
    return page.content.decode()


def test_the_form_is_filled_with_the_stored_arguments(client):
    page = open_form(client, make_result(task=TASK, args=[41], kwargs={"address": "Main\nstreet"}))

    assert page.status_code == 200
    html = _html(page)
    assert 'name="arg-order" value="41"' in html
    assert "Main\nstreet</textarea>" in html
    assert "integer" in html
    assert not Operation.objects.exists()


def test_edit_confirm_and_queue(client, broker):
    row = make_result(task=TASK, args=[41], kwargs={"address": "here"})

    page = submit(client, open_form(client, row), **{"arg-order": "42"})
    assert "Changed arguments" in page_text(page)
    assert "Unchanged arguments" in page_text(page)
    assert not Operation.objects.exists()
    done = confirm(client, page, RESULTS)
    dispatcher.sweep()

    operation = Operation.objects.get()
    assert done.url == operation.get_absolute_url()
    (message,) = queued_messages(broker)
    assert (message.args, message.kwargs) == ([42], {"address": "here"})
    words = page_text(client.get(operation.get_absolute_url()))
    assert "Changed arguments" in words
    assert " order 41 42 " in words
    again = page_text(client.get(f"{RESULTS}of/", {"id": message.id}, follow=True))
    assert "Arguments edited for this retry" in again


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"arg-order": "many"}, "order: expected integer."),
        ({"arg-order": ""}, "order: is required."),
        ({"arg-express": "perhaps"}, "perhaps is not one of the available choices"),
        ({"source-address": "nonsense"}, "nonsense is not one of the available choices"),
    ],
)
def test_an_error_is_shown_at_its_field_and_nothing_is_queued(client, values, problem):
    page = submit(client, open_form(client, make_result(task=TASK, args=[41])), **values)

    assert problem in page_text(page)
    assert "Nothing was queued" in page_text(page)
    assert not Operation.objects.exists()


def test_a_forged_confirmation_is_checked_again(client):
    page = submit(client, open_form(client, make_result(task=TASK, args=[41])))

    response = confirm(client, page, RESULTS, **{"arg-order": "many"})

    assert "order: expected integer." in page_text(response)
    assert not Operation.objects.exists()


def test_back_to_editing(client):
    page = submit(
        client, open_form(client, make_result(task=TASK, args=[41])), **{"arg-order": "42"}
    )

    again = client.post(RESULTS, hidden_fields(page) | {"edit": "Back to editing"})

    assert 'name="arg-order" value="42"' in _html(again)


def test_a_masked_value_is_kept_and_never_shown(client, broker):
    row = make_result(task=TASK, args=[1], kwargs={"token": "hush-hush"})

    page = open_form(client, row)
    assert "hush-hush" not in _html(page)
    assert MASK in _html(page)
    page = submit(client, page, **{"arg-order": "2"})
    assert "hush-hush" not in _html(page)
    confirm(client, page, RESULTS)
    dispatcher.sweep()

    (message,) = queued_messages(broker)
    assert message.kwargs == {"token": "hush-hush"}
    assert "hush-hush" not in _html(client.get(Operation.objects.get().get_absolute_url()))


def test_a_masked_value_can_be_revealed_and_the_view_is_recorded(client, alice):
    row = make_result(task=TASK, args=[1], kwargs={"token": "hush-hush"})

    page = open_form(client, row)
    page = client.post(RESULTS, hidden_fields(page) | {"reveal": "1", "reason": "Ticket 7"})

    assert "hush-hush" in _html(page)
    assert Operation.objects.get().verb == "reveal_arguments"


def test_a_new_masked_value_is_recorded_masked(client, broker):
    row = make_result(task=TASK, args=[1], kwargs={"token": "hush-hush"})

    page = submit(
        client, open_form(client, row), **{"arg-token": "brand-new", "source-token": "entered"}
    )
    operation_page = confirm(client, page, RESULTS, follow=True)
    dispatcher.sweep()

    assert queued_messages(broker)[0].kwargs == {"token": "brand-new"}
    words = _html(client.get(Operation.objects.get().get_absolute_url()))
    assert "brand-new" not in words + str(operation_page)
    assert "token" in words


def test_the_sources_default_and_empty(client, broker):
    row = make_result(task=TASK, args=[1], kwargs={"address": "here", "express": True})

    page = submit(
        client,
        open_form(client, row),
        **{
            "source-address": "empty",
            "arg-address": "",
            "source-express": "default",
            "arg-express": "",
        },
    )
    confirm(client, page, RESULTS)
    dispatcher.sweep()

    assert queued_messages(broker)[0].kwargs == {"address": ""}


def test_a_failure_group(client, broker):
    group = make_failure_group(3, task=TASK)
    ids = list(group.failures.values_list("task_id", flat=True))
    Result.objects.filter(task_id__in=ids).update(task_name=TASK)
    path = f"{FAILURE_GROUPS}{group.pk}/edit/"

    page = submit(client, client.post(path), path, **{"arg-order": "5"})
    assert "3 failed tasks" in page_text(page)
    confirm(client, page, path)
    dispatcher.sweep()

    assert [message.args for message in queued_messages(broker)] == [[5]] * 3


def test_the_failed_targets_of_an_operation(client, alice):
    operation = make_operation(1, actor=alice)
    target = operation.targets.get()
    target.operation = operation
    make_result(task_id=target.task_id_of(1), task=TASK)
    Target.objects.filter(pk=target.pk).update(attempt=1)
    Target.objects.filter(pk=target.pk).settle("failed", reason="refused")
    path = f"{OPERATIONS}{operation.pk}/edit/"

    page = submit(client, client.post(path), path, **{"arg-order": "5"})
    confirm(client, page, path)

    assert Operation.objects.get(verb="edit_and_retry").parent == operation


def test_results_of_several_tasks_are_refused(client):
    page = open_form(client, make_result(task=TASK), make_result())
    page = client.get(page.url)

    assert "belong to several tasks" in page_text(page)


def test_without_the_permission(as_user, charlie, client):
    row = make_result(task=TASK)

    page = as_user(charlie)
    assert b"edit_and_retry" not in page.get(f"{RESULTS}{row.pk}/change/").content
    assert page.post(f"{FAILURE_GROUPS}{make_failure_group().pk}/edit/").status_code == 403
    run_action(page, RESULTS, "edit_and_retry", [row])
    assert not Operation.objects.exists()


@pytest.mark.parametrize("noun", [FAILURE_GROUPS, OPERATIONS])
def test_a_get_never_queues(client, alice, noun):
    row = make_failure_group() if noun == FAILURE_GROUPS else make_operation(1, actor=alice)
    before = Operation.objects.count()

    # Of an operation without failures there is nothing to edit: back to its page.
    expected = 200 if noun == FAILURE_GROUPS else 302
    assert client.get(f"{noun}{row.pk}/edit/").status_code == expected
    assert Operation.objects.count() == before


def test_markup_is_escaped(client):
    row = make_result(task=TASK, args=[1, HOSTILE], kwargs={HOSTILE: HOSTILE})

    page = open_form(client, row)

    assert HOSTILE not in _html(page)
    assert "The task no longer accepts these arguments" in page_text(page)
    page = submit(client, page)
    assert HOSTILE not in _html(page)
    assert "style=" not in _html(page)
