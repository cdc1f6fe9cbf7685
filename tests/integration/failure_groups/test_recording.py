"""Failures are counted in groups when they are stored: each once, and without losing a result."""

import logging
import random

import pytest
from celery import states
from django.db import DatabaseError, connection, transaction
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from opsconsole.celery import app
from tasks_admin import dispatcher
from tasks_admin.models import Failure, FailureGroup, FailureGroupHour, Result, Target
from tasks_admin.models.dialects import dialect_of
from tasks_admin.results import failures
from tasks_admin.results.failures import recording
from tests.support.factories import make_result, make_target
from tests.support.failing_tasks import FAILING_TASKS, chained, raising, store_failure

pytestmark = pytest.mark.django_db


def test_ten_thousand_failures_of_twelve_kinds_make_twelve_groups():
    rng = random.Random(12)
    count = (
        10_000 if connection.vendor == "sqlite" else 2_000
    )  # PostgreSQL needs a round trip for each
    planned = [rng.randrange(12) for _ in range(count)]

    with transaction.atomic():  # one commit: the transactions are not tested here
        for number, which in enumerate(planned):
            store_failure(*FAILING_TASKS[which], number * 7919)

    assert FailureGroup.objects.count() == 12, list(
        FailureGroup.objects.values_list("message", flat=True)
    )
    found = sorted(FailureGroup.objects.values_list("count", flat=True))
    assert found == sorted(planned.count(which) for which in range(12))
    assert Failure.objects.count() == Result.objects.count() == count
    assert FailureGroupHour.objects.aggregate(n=Sum("count"))["n"] == count


def test_the_fields_of_a_group():
    before = timezone.now() - timezone.timedelta(seconds=1)
    store_failure("shop.charge", chained, 5)

    group = FailureGroup.objects.get()
    assert (group.task, group.exception) == ("shop.charge", "tests.support.failing_tasks.Refused")
    assert group.location == "tests.support.failing_tasks:chained"
    assert group.message == "Order <number> was refused"
    assert (group.state, group.count, group.reopened_at) == ("open", 1, None)
    assert before < group.first_at <= group.last_at
    hour = group.hours.get()
    assert hour.count == 1
    assert (hour.hour.minute, hour.hour.second, hour.hour.microsecond) == (0, 0, 0)
    assert timezone.timedelta(0) <= group.last_at - hour.hour < timezone.timedelta(hours=1)
    assert group.failures.get().task_id == Result.objects.get().task_id


class TestOnce:
    """A failure that is stored twice counts once."""

    def test_stored_twice(self):
        store_failure("t", raising(), 1, task_id="a")
        store_failure("t", raising(), 1, task_id="a")
        store_failure("t", raising("something else"), 1, task_id="a")

        assert [group.count for group in FailureGroup.objects.all()] == [1]

    @pytest.mark.parametrize("status", [states.SUCCESS, states.REVOKED, states.RETRY])
    def test_other_statuses_are_no_failures(self, status):
        app.backend.store_result("a", None, status)

        assert not Failure.objects.exists()

    def test_a_failure_after_a_success_is_ignored(self):
        app.backend.store_result("a", 1, states.SUCCESS)
        store_failure("t", raising(), 1, task_id="a")

        assert not Failure.objects.exists()

    def test_without_a_request_the_task_name_comes_from_the_row(self):
        make_result("STARTED", task_id="a", task="shop.charge")

        app.backend.store_result("a", ValueError("x"), states.FAILURE)

        assert FailureGroup.objects.get().task == "shop.charge"

    def test_a_target_fails_with_its_result(self):
        target = make_target("running")

        store_failure("t", raising(), 1, task_id=target.task_id)

        assert Target.objects.get().state == "failed"
        assert FailureGroup.objects.get().count == 1

    def test_a_task_whose_process_died_on_every_attempt(self, broker):
        target = make_target("running", due=-1, crashes=2)
        make_result("STARTED", task_id=target.task_id)

        dispatcher.sweep()

        assert Result.objects.get(task_id=target.task_id).status == "FAILURE"
        group = FailureGroup.objects.get()
        assert group.exception == "billiard.exceptions.WorkerLostError"
        assert group.failures.get().task_id == target.task_id


class TestStates:
    """The next failure reopens a resolved group as regressed; a muted one stays muted."""

    @pytest.mark.parametrize(
        ("before", "after"), [("resolved", "open"), ("muted", "muted"), ("open", "open")]
    )
    def test_failing_again(self, before, after):
        store_failure("t", raising(), 1)
        FailureGroup.objects.update(state=before)

        store_failure("t", raising(), 2)

        group = FailureGroup.objects.get()
        assert (group.state, group.count) == (after, 2)
        assert bool(group.reopened_at) is (before == "resolved")


class TestLimits:
    """Messages that are always different cannot fill the table."""

    def test_failures_beyond_the_limit_are_one_group(self, monkeypatch):
        monkeypatch.setattr(recording, "MAX_GROUPS", 3)
        for word in ("ant", "bee", "cow", "dog", "elk", "fox"):
            store_failure("t", raising(word), 1)
        store_failure("t", raising("ant"), 1)
        store_failure("other", raising("gnu"), 1)

        counts = {(c.task, c.message): c.count for c in FailureGroup.objects.all()}
        assert counts == {
            ("t", "ant"): 2, ("t", "bee"): 1, ("t", "cow"): 1, ("t", "…"): 3, ("other", "gnu"): 1,
        }  # fmt: skip

    def test_few_statements(self):
        store_failure("t", raising(), 1)
        make_result("STARTED", task_id="a")

        with CaptureQueriesContext(connection) as queries:
            store_failure("t", raising(), 2, task_id="a")

        asked = [query["sql"].split()[0] for query in queries]
        assert asked == [
            "SAVEPOINT", "UPDATE", "SAVEPOINT", "INSERT", "INSERT", "UPDATE", "RELEASE", "RELEASE",
        ], [query["sql"] for query in queries]  # fmt: skip


class TestErrors:
    """An error in recording is logged, and the result is stored."""

    def replace(self, monkeypatch, *changes):
        """Replace some of the real statements, for one call after the other."""
        real = recording._statements(dialect_of(connection))
        changed = iter(real._replace(**change) for change in changes)
        monkeypatch.setattr(recording, "_statements", lambda _dialect: next(changed))

    @pytest.mark.parametrize("broken", recording.Statements._fields)
    def test_a_statement_that_fails(self, monkeypatch, caplog, broken):
        self.replace(monkeypatch, {broken: "INSERT INTO nowhere VALUES (1)"})

        with caplog.at_level(logging.ERROR, logger="tasks_admin.results.failures.recording"):
            store_failure("t", raising(), 1, task_id="a")

        assert Result.objects.get(task_id="a").status == "FAILURE"
        assert not Failure.objects.exists()
        assert "The failure of task a was not recorded" in caplog.text

    def test_a_failure_whose_fingerprint_cannot_be_computed(self, monkeypatch, caplog):
        monkeypatch.setattr(failures.FailureFingerprint, "of", lambda **_: 1 / 0)

        store_failure("t", raising(), 1, task_id="a")

        assert Result.objects.get(task_id="a").status == "FAILURE"
        assert "ZeroDivisionError" in caplog.text

    @pytest.mark.parametrize("text", ["\x00 nul", "\ud800", "x" * 100_000, "<script>", "%s %d", ""])
    def test_odd_messages(self, text, caplog):
        store_failure("t", raising(text), 1)

        assert FailureGroup.objects.get().count == 1
        assert not caplog.records

    def test_a_group_that_is_deleted_meanwhile_is_created_again(self, monkeypatch):
        store_failure("t", raising(), 1)
        real = recording._statements(dialect_of(connection)).count_in_group
        no_row = real.replace("WHERE digest", "WHERE 1 = 0 AND digest")
        self.replace(monkeypatch, {"count_in_group": no_row}, {})
        store_failure("t", raising(), 2)

        assert FailureGroup.objects.get().count == 2
        assert FailureGroupHour.objects.get().count == 2

    def test_a_lost_connection_raises(self, monkeypatch):
        monkeypatch.setattr(recording, "_is_connection_lost", lambda alias: True)
        self.replace(monkeypatch, {"insert_failure": "no sql"})

        with pytest.raises(DatabaseError), transaction.atomic():
            failures.record_failure(task_id="a", task="t", result=None, traceback=None)
