"""The actions on failure groups, and their overview, trends and failure rates."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tasks_admin import results
from tasks_admin.lib.errors import NotAllowed, NothingToDo, WrongState
from tasks_admin.models import Failure, FailureGroup, FailureGroupHour, Operation, Result, Target
from tasks_admin.operations import Confirmation
from tasks_admin.results import failure_groups
from tests.support.factories import RESET, make_failure_group, make_result, run_concurrently
from tests.support.failing_tasks import raising, store_failure
from tests.support.pages import FAILURE_GROUPS

ACTIONS = {
    "resolve": failure_groups.resolve,
    "mute": failure_groups.mute,
    "reopen": failure_groups.reopen,
}
pytestmark = pytest.mark.django_db


class TestActions:
    """Each changes the state and is recorded; the loser of a race gets an error."""

    @pytest.mark.parametrize(
        ("verb", "before", "after"),
        [("resolve", "open", "resolved"), ("resolve", "muted", "resolved"),
         ("mute", "open", "muted"), ("mute", "resolved", "muted"),
         ("reopen", "resolved", "open"), ("reopen", "muted", "open")],
    )  # fmt: skip
    def test_the_state_changes_and_the_action_is_recorded(self, alice, verb, before, after):
        group, other = make_failure_group(state=before), make_failure_group(state=before)

        operation = ACTIONS[verb](group=group, actor=alice, reason="because")

        assert FailureGroup.objects.get(pk=group.pk).state == group.state == after
        assert FailureGroup.objects.get(pk=other.pk).state == before
        assert (operation.verb, operation.reason) == (verb, "because")
        assert operation.is_finished
        assert [target.subject for target in operation.targets.all()] == [str(group.pk)]
        assert failure_groups.actions_on(group) == [operation]
        assert failure_groups.actions_on(other) == []

    @pytest.mark.parametrize(
        ("verb", "state"), [("resolve", "resolved"), ("mute", "muted"), ("reopen", "open")]
    )
    def test_an_action_that_does_not_apply(self, alice, verb, state):
        group = make_failure_group(state=state)

        with pytest.raises(WrongState, match=f"The failure group is {state}"):
            ACTIONS[verb](group=group, actor=alice, reason="r")
        assert not Operation.objects.exists()
        assert not failure_groups.is_applicable(group, verb)

    @pytest.mark.parametrize("verb", ACTIONS)
    def test_without_the_permission(self, charlie, verb):
        group = make_failure_group(state="muted" if verb == "reopen" else "open")

        with pytest.raises(NotAllowed):
            ACTIONS[verb](group=group, actor=charlie, reason="r")
        assert not Operation.objects.exists()

    def test_resolving_a_regressed_group(self, alice):
        store_failure("t", raising(), 1)
        failure_groups.resolve(group=FailureGroup.objects.get(), actor=alice, reason="r")
        store_failure("t", raising(), 2)
        group = FailureGroup.objects.get()
        assert group.reopened_at

        failure_groups.resolve(group=group, actor=alice, reason="r")

        assert FailureGroup.objects.get().reopened_at is None

    @pytest.mark.django_db(transaction=True)
    def test_two_at_once(self, alice):
        group = make_failure_group()

        def act(_number):
            return failure_groups.resolve(
                group=FailureGroup.objects.get(pk=group.pk), actor=alice, reason="r"
            )

        outcomes = run_concurrently(4, act)
        assert sum(isinstance(one, Operation) for one in outcomes) == 1, outcomes
        assert sum(isinstance(one, WrongState) for one in outcomes) == 3, outcomes


class TestRetry:
    """Each failed task of the group is retried once."""

    def test_all_failed_tasks_of_the_group(self, alice):
        group = make_failure_group(3)
        make_failure_group(2)

        operation = failure_groups.retry(
            group=group, confirmation=Confirmation(actor=alice, reason="r", rate=60, canary=True)
        )

        assert (operation.verb, operation.rate, operation.canary) == ("retry_failed", 60, True)
        wanted = set(group.failures.values_list("task_id", flat=True))
        assert set(operation.targets.values_list("subject", flat=True)) == wanted

    def test_retried_results_are_excluded(self, alice):
        group = make_failure_group(3)
        one = Result.objects.filter(task_id=group.failures.first().task_id)
        results.retry_failed(results=one, confirmation=Confirmation(actor=alice, reason="r"))

        assert (
            failure_groups.retry(
                group=group, confirmation=Confirmation(actor=alice, reason="r")
            ).total
            == 2
        )
        with pytest.raises(NothingToDo):
            failure_groups.retry(group=group, confirmation=Confirmation(actor=alice, reason="r"))

    def test_without_the_permission(self, charlie):
        with pytest.raises(NotAllowed):
            failure_groups.retry(
                group=make_failure_group(), confirmation=Confirmation(actor=charlie, reason="r")
            )


class TestOverview:
    """The latest failures, their results and their retries."""

    def test_a_page(self, alice):
        group = make_failure_group(25)
        failure_groups.retry(group=group, confirmation=Confirmation(actor=alice, reason="r"))
        Result.objects.filter(task_id=group.failures.last().task_id).delete()

        failures, older = failure_groups.latest_failures(group)
        rest, end = failure_groups.latest_failures(group, before=older)

        assert (len(failures), len(rest), end) == (20, 5, None)
        keys = [one.failure.pk for one in failures + rest]
        assert keys == sorted(group.failures.values_list("pk", flat=True), reverse=True)
        assert failures[0].result is None
        assert failures[1].result.status == "FAILURE"
        assert failures[1].retry == Operation.objects.get()

    def test_the_group_of_a_task(self):
        group = make_failure_group()

        assert failure_groups.group_of(group.failures.get().task_id) == group
        assert failure_groups.group_of("unknown") is None


class TestTrends:
    """Bar charts per hour and per day."""

    def test_hours(self):
        group, other = make_failure_group(), make_failure_group()
        now = timezone.now().astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        for hours, count in ((0, 8), (23, 1), (24, 100), (3, 2)):
            hour = now - timedelta(hours=hours)
            FailureGroupHour.objects.create(group=group, hour=hour, count=count)

        trends = failure_groups.hourly([group, other])

        counts = [bar.count for bar in trends[group.pk].bars]
        assert (len(counts), counts[-1], counts[0], counts[-4]) == (24, 8, 1, 2)
        assert trends[group.pk].total == 11
        assert [trends[group.pk].bars[n].height for n in (-1, 0, 1)] == ["24", "3", "0"]
        assert trends[other.pk].total == 0

    def test_a_failure_is_in_the_last_bar(self):
        store_failure("t", raising(), 1)

        group = FailureGroup.objects.get()
        assert failure_groups.hourly([group])[group.pk].bars[-1].count == 1
        assert failure_groups.daily(group).bars[-1].count == 1

    def test_days_are_in_the_readers_time_zone(self):
        group = make_failure_group()
        FailureGroupHour.objects.create(
            group=group, hour=timezone.now().replace(minute=0, second=0, microsecond=0), count=1
        )
        FailureGroupHour.objects.create(group=group, hour=datetime(2020, 1, 1, tzinfo=UTC), count=1)

        for zone in ("UTC", "Pacific/Auckland", "America/Los_Angeles"):
            with timezone.override(zone):
                trend = failure_groups.daily(group)
            assert (len(trend.bars), trend.total, trend.bars[-1].count) == (14, 1, 1)


class TestFailureRates:
    """Over the finished runs among the latest 1,000 results of a task."""

    def test_a_failure_rate(self):
        one, other = make_failure_group(3), make_failure_group(1)
        elsewhere = make_failure_group(0, task="elsewhere")
        for status in ("SUCCESS",) * 5 + ("REVOKED", "PENDING", "STARTED", "RETRY"):
            make_result(status)

        rates = failure_groups.failure_rates([one, other, elsewhere])

        assert rates[one.pk] == failure_groups.FailureRate(failed=3, runs=10)
        assert rates[one.pk].percent == 30
        assert rates[other.pk].failed == 1
        assert elsewhere.pk not in rates
        assert failure_groups.failure_rates([]) == {}

    def test_only_the_latest_results_count(self, monkeypatch):
        monkeypatch.setattr(failure_groups.trends, "MAX_RUNS", 4)
        group = make_failure_group(3)
        for _ in range(3):
            make_result("SUCCESS")

        assert failure_groups.failure_rates([group])[group.pk] == failure_groups.FailureRate(
            failed=1, runs=4
        )


def grow(count):
    """Failures as they are stored, many at once."""
    now = timezone.now()
    begin = Failure.objects.count()
    known = list(FailureGroup.objects.all())
    ids = [f"grown-{number}" for number in range(begin, begin + count)]
    Result.objects.bulk_create(
        Result(task_id=task_id, task_name=RESET, status="FAILURE") for task_id in ids
    )
    Failure.objects.bulk_create(
        Failure(task_id=task_id, group=known[number % len(known)], failed_at=now)
        for number, task_id in enumerate(ids)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def test_the_cost_of_the_list_does_not_depend_on_the_number_of_failures(as_user, alice):
    client = as_user(alice)
    for number in range(30):
        make_failure_group(0, message=str(number), task=RESET if number % 2 else f"t{number}")
    grow(500)
    client.get(FAILURE_GROUPS)
    with CaptureQueriesContext(connection) as before:
        client.get(FAILURE_GROUPS)
    grow(30_000)

    with CaptureQueriesContext(connection) as after:
        assert client.get(FAILURE_GROUPS).status_code == 200

    assert len(after) == len(before) <= 9, [query["sql"] for query in after]
    asked = [query["sql"] for query in after if query["sql"].lstrip("(").startswith("SELECT")]
    plans = [plan(sql) for sql in asked]
    for table in ("tasks_admin_failure", "django_celery_results_taskresult"):
        assert not any(f"Seq Scan on {table}" in text for text in plans), plans
    assert not any("SCAN U0" in text or "SCAN django_celery" in text for text in plans), plans
    assert any("tasks_admin_failure_task" in text or "SEARCH U0" in text for text in plans), plans


def plan(sql):
    """The query plan. PostgreSQL would scan tables of this size if it were allowed to."""
    explain = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"{explain} {sql.replace('%', '%%')}")
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


def test_the_actions_hold_no_lock_keys(alice):
    group = make_failure_group()
    for act in (
        failure_groups.resolve,
        failure_groups.reopen,
        failure_groups.resolve,
        failure_groups.reopen,
    ):
        act(group=group, actor=alice, reason="r")

    assert Target.objects.filter(lock_key__isnull=False).count() == 0
    assert len(failure_groups.actions_on(group)) == 4
