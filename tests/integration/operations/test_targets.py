"""A target changes its state by guarded updates: only one of two concurrent ones succeeds."""

import uuid

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tasks_admin import operations
from tasks_admin.models import Operation, Result, Target
from tasks_admin.models.targets import OPEN, OUTCOMES, TargetState
from tests.support.factories import make_operation, make_result, make_target, run_concurrently

LEASE = 25.0
UUID = uuid.UUID(int=2**127 + 7)


def claim(target, attempt=None):
    return operations.claim(target.task_id_of(attempt or target.attempt), LEASE)


def store_result(target, status="PENDING"):
    return make_result(status, task_id=target.task_id)


class TestClaim:
    """A worker claims a target before it executes the task."""

    def test_a_queued_target_is_claimed_for_the_lease(self, db):
        target = make_target("queued", due=60)

        assert claim(target)

        target.refresh_from_db()
        assert (target.state, target.tries) == ("running", 1)
        left = (target.due_at - timezone.now()).total_seconds()
        assert LEASE - 3 < left <= LEASE + 1
        assert target.started_at

    def test_a_second_delivery_is_refused(self, db):
        target = make_target("queued")
        assert claim(target)

        assert not claim(target)

        target.refresh_from_db()
        assert target.tries == 1

    def test_a_second_delivery_does_not_change_the_result_of_the_first(self, db):
        target = make_target("queued")
        row = store_result(target, "STARTED")
        assert claim(target)

        assert not claim(target)

        row.refresh_from_db()
        assert row.status == "STARTED"

    @pytest.mark.parametrize("state", OUTCOMES)
    def test_a_target_with_an_outcome_is_refused(self, db, state):
        target = make_target(state)
        store_result(target)

        assert not claim(target)

        assert Result.objects.get().status == "REVOKED"

    def test_an_older_attempt_is_refused_and_its_result_revoked(self, db):
        target = make_target("queued", attempt=2)
        make_result("PENDING", task_id=target.task_id_of(1))
        store_result(target)

        assert not claim(target, attempt=1)

        assert Result.objects.get(task_id=target.task_id_of(1)).status == "REVOKED"
        assert Result.objects.get(task_id=target.task_id).status == "PENDING"
        assert claim(target)

    def test_a_target_of_a_paused_operation_waits_again(self, db):
        target = make_target("queued", due=60)
        Operation.objects.update(state="paused")
        store_result(target)

        assert not claim(target)

        target.refresh_from_db()
        assert (target.state, target.tries) == ("waiting", 0)
        assert list(Target.objects.due()) == [target]
        assert Result.objects.get().status == "REVOKED"

    def test_a_target_of_an_aborted_operation_is_refused(self, alice):
        target = make_target("queued")
        store_result(target)
        operations.abort(operation=target.operation, actor=alice, reason="r")

        assert not claim(target)

        target.refresh_from_db()
        assert (target.state, target.reason, target.lock_key) == ("cancelled", "aborted", None)
        assert Result.objects.get().status == "REVOKED"

    @pytest.mark.parametrize("task_id", ["", "x", str(UUID), f"{UUID}-1-1"])
    def test_a_task_id_without_a_target_is_a_lookup_error(self, db, task_id):
        with pytest.raises(LookupError):
            operations.claim(task_id, LEASE)

    @pytest.mark.parametrize(
        "shape",
        ["{key}-{pk}-01", "{key}-0{pk}-1", "{key}-{pk}-١", "{key}-{pk}-1 ", " {key}-{pk}-1",
         "{key}-{pk}-1\n", "{key}-{pk}", "{key}-{pk}-1-1", "{KEY}-{pk}-1", "{key}-{pk}-0"],
    )  # fmt: skip
    def test_a_malformed_task_id_is_a_lookup_error(self, db, shape):
        target = make_target("queued")
        key = str(target.operation.key)

        with pytest.raises(LookupError):
            operations.claim(shape.format(key=key, KEY=key.upper(), pk=target.pk), LEASE)

        target.refresh_from_db()
        assert target.state == "queued"

    def test_a_target_of_another_operation_is_not_found(self, db):
        one, other = make_target("queued"), make_target("queued")

        with pytest.raises(LookupError):
            operations.claim(f"{one.operation.key}-{other.pk}-1", LEASE)

    @pytest.mark.parametrize(
        "change",
        [lambda rows: rows.claim(LEASE), lambda rows: rows.requeue(0),
         lambda rows: rows.mark_queued(LEASE), lambda rows: rows.settle("done"),
         lambda rows: rows.settle_crashed(again=False)],
    )  # fmt: skip
    def test_each_change_is_one_guarded_update_without_a_subquery(self, db, change):
        target = make_target("queued")

        with CaptureQueriesContext(connection) as queries:
            change(Target.objects.for_current_attempt(target.task_id))

        (query,) = queries
        assert query["sql"].startswith('UPDATE "tasks_admin_target"')
        assert 'FROM "tasks_admin_target"' not in query["sql"]

    @pytest.mark.django_db(transaction=True)
    def test_only_one_of_eight_workers_claims_it(self):
        target = make_target("queued")

        outcomes = run_concurrently(8, lambda n: claim(target))

        assert sorted(outcomes) == [False] * 7 + [True]
        assert Target.objects.get().tries == 1


class TestSettle:
    """An outcome is written once."""

    @pytest.mark.parametrize("state", OPEN)
    def test_an_open_target_gets_an_outcome(self, db, state):
        target = make_target(state)

        assert Target.objects.all().settle(TargetState.FAILED, reason="refused", detail="550") == 1

        target.refresh_from_db()
        assert (target.state, target.reason, target.detail) == ("failed", "refused", "550")
        assert target.finished_at

    @pytest.mark.parametrize("state", [state for state in OUTCOMES if state != "unknown"])
    def test_an_outcome_is_never_replaced(self, db, state):
        target = make_target(state, reason="first")

        assert Target.objects.all().settle(TargetState.FAILED, reason="second") == 0

        target.refresh_from_db()
        assert (target.state, target.reason) == (state, "first")

    def test_the_outcome_unknown_can_be_replaced(self, db):
        make_target("unknown")

        assert Target.objects.all().settle(TargetState.DONE) == 1

    @pytest.mark.parametrize("state", OUTCOMES)
    def test_the_lock_key_of_a_user_is_released(self, db, state):
        target = make_target("running")
        assert target.lock_key

        Target.objects.all().settle(TargetState(state))

        assert Target.objects.get().lock_key is None

    @pytest.mark.parametrize(
        ("state", "kept"),
        [("done", True), ("failed", True), ("unknown", True), ("skipped", False),
         ("cancelled", False)],
    )  # fmt: skip
    def test_a_result_is_retried_once_unless_the_retry_took_no_effect(self, db, state, kept):
        make_target("running", lock_key="result:abc")

        Target.objects.all().settle(TargetState(state))

        assert Target.objects.get().lock_key == ("result:abc" if kept else None)


class TestCrashed:
    """The worker's process died while it executed the target."""

    @pytest.mark.parametrize(("before", "after"), [(0, "waiting"), (1, "waiting"), (2, "failed")])
    def test_a_target_is_attempted_three_times(self, db, before, after):
        target = make_target("running", crashes=before)

        assert Target.objects.all().settle_crashed(again=True) == 1

        target.refresh_from_db()
        assert (target.state, target.crashes, target.reason) == (after, before + 1, "crashed")

    def test_a_task_that_must_not_run_again_is_unknown(self, db):
        target = make_target("running")

        Target.objects.all().settle_crashed(again=False)

        target.refresh_from_db()
        assert (target.state, target.reason) == ("unknown", "worker_died")

    @pytest.mark.django_db(transaction=True)
    def test_concurrent_detections_count_one_crash_once(self):
        make_target("running")

        counts = run_concurrently(8, lambda n: Target.objects.all().settle_crashed(again=True))

        assert sum(counts) == 1
        assert Target.objects.get().crashes == 1

    def test_a_target_done_after_a_crash_is_possibly_duplicated(self, db):
        assert make_target("done", uncertain=True).possibly_duplicated
        assert not make_target("done").possibly_duplicated
        assert not make_target("failed", uncertain=True).possibly_duplicated


def test_a_target_requeued_in_an_aborted_operation_is_cancelled(alice):
    operation = make_operation(2)
    running = operation.targets.first()
    Target.objects.filter(pk=running.pk).update(state="running", attempt=1)
    operations.abort(operation=operation, actor=alice, reason="r")
    assert operation.counts() == {"running": 1, "cancelled": 1}
    Target.objects.filter(pk=running.pk).requeue(30)

    operations.cancel_unstarted(operation)

    assert operation.counts() == {"cancelled": 2}


def test_the_task_ids_of_all_attempts(db):
    target = make_target("queued", attempt=F("attempt") + 3)

    assert target.task_ids() == [
        f"{target.operation.key}-{target.pk}-{number}" for number in (1, 2, 3)
    ]
    assert all(Target.objects.for_task_id(task_id).exists() for task_id in target.task_ids())
