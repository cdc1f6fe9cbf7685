"""A result knows what it repeats, what repeated it, and the other attempts: oldest first."""

from tasks_admin import dispatch, lineage, results
from tasks_admin.models import Result, Target
from tests.making import make_result, make_target


def retry(actor):
    return results.retry_failed(results=Result.objects.all(), actor=actor, reason="r")


def line(result):
    return [step.task_id for step in lineage.of(result)]


def test_what_the_project_queued_itself_stands_alone(db):
    row = make_result()

    (step,) = lineage.of(row)

    assert (step.task_id, step.target, step.attempt, step.result) == (row.task_id, None, 1, row)


def test_a_retry_follows_what_it_repeats(broker, alice):
    old = make_result()
    operation = retry(alice)
    (_first, waiting) = lineage.of(old)
    assert (waiting.task_id, waiting.target.operation) == ("", operation)

    dispatch.sweep()
    new = Result.objects.exclude(pk=old.pk).get()

    assert line(old) == line(new) == [old.task_id, new.task_id]
    assert lineage.of(old)[1].target.operation == operation


def test_a_retry_of_a_retry(broker, alice):
    for _round in range(3):
        make_result() if not Result.objects.exists() else None
        Result.objects.update(status="FAILURE")
        Target.objects.all().settle("failed")
        retry(alice)
        dispatch.sweep()
    rows = list(Result.objects.order_by("pk"))

    for row in rows:
        assert line(row) == [other.task_id for other in rows]


def test_the_attempts_at_a_target(db):
    target = make_target("queued", attempt=3)
    rows = [make_result("RETRY", task_id=task_id) for task_id in target.task_ids()]

    for row in rows:
        assert line(row) == [row.task_id for row in rows]
    assert [step.attempt for step in lineage.of(rows[0])] == [1, 2, 3]


def test_long_lines_are_cut_around_the_one_that_is_looked_at(db):
    target = make_target("queued", attempt=5_000)
    row = make_result("RETRY", task_id=target.task_id)

    assert len(line(row)) == lineage.MOST
    assert line(make_result(task_id=target.task_id_of(7)))[0].endswith("-7")
