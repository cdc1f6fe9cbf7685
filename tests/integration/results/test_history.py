"""A result knows what it repeats, what repeated it, and the other attempts: oldest first."""

import pytest
from celery.app.task import Context

from opsconsole.celery import app
from tasks_admin import dispatcher, results
from tasks_admin.models import Result, Target
from tasks_admin.models.results import InexactReason
from tasks_admin.operations import Confirmation
from tasks_admin.results import history
from tests.support.factories import make_result, make_target
from tests.support.pages import page_text


@pytest.fixture
def backend(db):
    return app.backend


def retry(actor):
    return results.retry_failed(
        results=Result.objects.all(), confirmation=Confirmation(actor=actor, reason="r")
    )


def line(result):
    return [step.task_id for step in history.executions(result)]


def test_what_the_project_queued_itself_stands_alone(db):
    row = make_result()

    (step,) = history.executions(row)

    assert (step.task_id, step.target, step.attempt, step.result) == (row.task_id, None, 1, row)


def test_a_retry_follows_what_it_repeats(broker, alice):
    old = make_result()
    operation = retry(alice)
    (_first, waiting) = history.executions(old)
    assert (waiting.task_id, waiting.target.operation) == ("", operation)

    dispatcher.sweep()
    new = Result.objects.exclude(pk=old.pk).get()

    assert line(old) == line(new) == [old.task_id, new.task_id]
    assert history.executions(old)[1].target.operation == operation


def test_a_retry_of_a_retry(broker, alice):
    for _round in range(3):
        make_result() if not Result.objects.exists() else None
        Result.objects.update(status="FAILURE")
        Target.objects.all().settle("failed")
        retry(alice)
        dispatcher.sweep()
    rows = list(Result.objects.order_by("pk"))

    for row in rows:
        assert line(row) == [other.task_id for other in rows]


def test_the_attempts_at_a_target(db):
    target = make_target("queued", attempt=3)
    rows = [make_result("RETRY", task_id=task_id) for task_id in target.task_ids()]

    for row in rows:
        assert line(row) == [row.task_id for row in rows]
    assert [step.attempt for step in history.executions(rows[0])] == [1, 2, 3]


def test_the_latest_attempts_and_the_requested_one_are_shown(db):
    target = make_target("queued", attempt=5_000)
    row = make_result("RETRY", task_id=target.task_id)

    assert len(line(row)) == history.MAX_ATTEMPTS
    assert line(make_result(task_id=target.task_id_of(7)))[0].endswith("-7")


class TestByCelery:
    """Celery's retries are recorded in the row, which stores one status only."""

    def test_each_is_recorded_with_its_exception(self, backend):
        request = Context(id="a", args=[1], kwargs={}, task="t")
        for number in range(3):
            request.retries = number
            error = OSError("down") if number else ValueError("no")
            backend.mark_as_retry("a", error, request=request)
        backend.mark_as_done("a", 7, request=request)

        row = Result.objects.get(task_id="a")
        assert [one.exception for one in row.retries] == ["ValueError", "OSError", "OSError"]
        assert all(one.moment for one in row.retries)
        assert row.status == "SUCCESS"
        assert row.meta_values["children"] == []

    def test_at_most_twenty_are_recorded(self, backend):
        request = Context(id="a", args=[1], kwargs={}, task="t")
        for number in range(25):
            request.retries = number
            backend.mark_as_retry("a", OSError("down"), request=request)

        assert len(Result.objects.get(task_id="a").retries) == 20

    @pytest.mark.parametrize(
        "meta", ["", "x", "[]", '{"retried-0": 7}', '{"retried-0": [1, 2, 3]}']
    )
    def test_an_invalid_record_is_ignored(self, db, meta):
        assert make_result(meta=meta).retries == []
        assert make_result(meta='{"retried-0": ["soon", "E"]}').retries[0].moment is None

    def test_the_page_shows_them(self, backend, as_user, alice):
        request = Context(id="a", args=[1], kwargs={}, task="t", retries=0)
        backend.mark_as_retry("a", OSError("down"), request=request)

        page = as_user(alice).get("/admin/tasks_admin/result/of/", {"id": "a"}, follow=True)

        assert "Retry by Celery RETRY" in page_text(page)
        assert "OSError" in page_text(page)


class TestRelatives:
    """Parent tasks and child tasks."""

    def test_parent_and_root_are_recorded(self, backend):
        request = Context(id="c", args=[], kwargs={}, task="t", parent_id="b", root_id="a")
        backend.mark_as_done("c", 1, request=request)

        row = Result.objects.get(task_id="c")
        assert (row.parent, row.root) == ("b", "a")

    def test_a_root_has_no_parent(self, backend):
        backend.mark_as_done("a", 1, request=Context(id="a", args=[], kwargs={}, root_id="a"))

        row = Result.objects.get(task_id="a")
        assert (row.parent, row.root) == ("", "")

    def test_the_page_links_both_ways(self, as_user, alice):
        meta = '{"queue": "q", "parent": "b", "root": "a", "children": [[["d", null], null]]}'
        row = make_result("SUCCESS", meta=meta)
        make_result("SUCCESS", task_id="b")

        page = as_user(alice).get(f"/admin/tasks_admin/result/{row.pk}/change/")

        words = page_text(page)
        assert "Parent tasks a No stored result" in words
        assert "Child tasks d No stored result" in words
        assert "?id=b" in page.content.decode()

    @pytest.mark.parametrize("reason", ["redacted", "too_large", "not_json"])
    def test_why_arguments_are_not_exact(self, as_user, alice, reason):
        meta = f'{{"queue": "q", "arguments": "{reason}", "children": []}}'
        row = make_result(task_args='"(1,)"', meta=meta)

        page = as_user(alice).get(f"/admin/tasks_admin/result/{row.pk}/change/")

        assert str(InexactReason(reason).label) in page_text(page)
