"""Progress: the counts of an operation, and the pages of its targets."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from tasks_admin import operations
from tasks_admin.models import Operation, Target
from tasks_admin.operations import progress
from tests.support.factories import make_operation, make_target

pytestmark = pytest.mark.django_db


def settle(operation, count, state, **more):
    chosen = operation.targets.open().order_by("pk")[:count].values("pk")
    Target.objects.filter(pk__in=list(chosen.values_list("pk", flat=True))).settle(state, **more)


class TestCounts:
    """The counts of the progress bar."""

    def test_the_counts_add_up_to_the_total(self):
        operation = make_operation(10)
        settle(operation, 3, "done")
        settle(operation, 1, "failed", reason="refused")

        seen = progress.of(operation)

        assert [(state, count) for state, _label, count, _share in seen.counts] == [
            ("waiting", 6), ("done", 3), ("failed", 1),
        ]  # fmt: skip
        assert (seen.finished, seen.total, seen.percent) == (4, 10, 40)

    def test_100_percent_only_when_all_targets_have_an_outcome(self):
        operation = make_operation(300)
        settle(operation, 299, "done")
        assert progress.of(operation).percent == 99

        settle(operation, 1, "done")
        assert progress.of(operation).percent == 100

    def test_the_rate_and_the_time_left(self):
        operation = make_operation(10)
        settle(operation, 6, "done")
        past = timezone.now() - timedelta(minutes=5)
        first = operation.targets.order_by("pk").first()
        Target.objects.filter(pk=first.pk).update(finished_at=past)
        operation.created_at = past

        seen = progress.of(operation)

        assert seen.rate == 5
        assert seen.time_left == timedelta(seconds=48)

    def test_a_young_operation_is_measured_by_its_age(self):
        operation = make_operation(10)
        settle(operation, 5, "done")
        operation.created_at = timezone.now() - timedelta(seconds=20)

        assert progress.of(operation).time_left == timedelta(seconds=20)

    @pytest.mark.parametrize("state", ["paused", "pending", "aborted"])
    def test_an_operation_that_does_not_run_has_no_time_left(self, state):
        operation = make_operation(10)
        settle(operation, 5, "done")
        operation.created_at, operation.state = timezone.now() - timedelta(minutes=1), state

        assert progress.of(operation).time_left is None

    def test_messages_that_no_worker_claims_are_reported(self):
        operation = make_operation(2)
        assert not progress.of(operation).unclaimed
        operation.targets.update(state="queued", queued_at=timezone.now() - timedelta(minutes=1))

        assert progress.of(operation).unclaimed

        operation.targets.filter(pk=operation.targets.first().pk).update(state="running")
        assert not progress.of(operation).unclaimed

    def test_without_finished_targets_the_time_left_is_unknown(self):
        assert progress.of(make_operation(1)).time_left is None

    def test_an_operation_without_targets(self):
        seen = progress.of(Operation.objects.create(verb="pause"))

        assert (seen.counts, seen.finished, seen.total, seen.percent) == ([], 0, 0, 100)

    def test_the_counts_of_a_finished_operation_are_stored(self, django_assert_num_queries):
        operation = make_operation(2)
        settle(operation, 2, "done")
        operations.finish_ended()
        operation.refresh_from_db()

        with django_assert_num_queries(0):
            assert progress.of(operation).counts[0][2] == 2

    def test_excluded_rows_are_counted_by_reason(self):
        operation = make_operation(1)
        operation.excluded = {"inactive": 3, "from_the_future": 1}

        assert progress.of(operation).excluded == [
            ("account inactive", 3), ("from_the_future", 1),
        ]  # fmt: skip

    def test_the_counts_as_a_sentence(self):
        assert progress.sentence({"failed": 1, "done": 12, "queued": 0}) == "12 done, 1 failed"
        assert progress.sentence({}) == ""


class TestPage:
    """Targets in the order in which they were frozen."""

    def test_pages_follow_each_other_without_gap_or_overlap(self):
        operation = make_operation(progress.PAGE_SIZE * 2 + 5)

        seen, after = [], ""
        for _ in range(3):
            page = progress.page(operation, after=after)
            seen += [target.pk for target in page.targets]
            after = page.next

        assert after == ""
        assert seen == list(operation.targets.order_by("pk").values_list("pk", flat=True))

    def test_an_exactly_full_page_is_the_last(self):
        assert progress.page(make_operation(progress.PAGE_SIZE)).next == ""

    def test_targets_are_filtered_by_state(self):
        operation = make_operation(5)
        settle(operation, 2, "failed", reason="refused")

        assert len(progress.page(operation, state="failed").targets) == 2
        assert progress.page(operation, state="done").targets == []

    @pytest.mark.parametrize("invalid", ["x", "FAILED", "\x00", "failed'--"])
    def test_an_invalid_state_shows_all_targets(self, invalid):
        assert len(progress.page(make_operation(2), state=invalid).targets) == 2

    @pytest.mark.parametrize("invalid", ["x", "-1", "9" * 40, "1.5", " ", "²"])
    def test_an_invalid_key_shows_the_first_page(self, invalid):
        assert len(progress.page(make_operation(2), after=invalid).targets) == 2

    @pytest.mark.parametrize("find", ["username", "email", "pk"])
    def test_a_user_is_found_by_name_address_or_key(self, find):
        operation = make_operation(3)
        user = User.objects.get(username="u00001")

        (target,) = progress.page(operation, subject=str(getattr(user, find))).targets

        assert target.subject == str(user.pk)
        assert target.name == "u00001"

    @pytest.mark.parametrize("invalid", ["unknown", "%", "'", "🦄" * 400])
    def test_an_invalid_search_finds_no_user(self, invalid):
        assert progress.page(make_operation(2), subject=invalid).targets == []

    def test_a_deleted_user_is_shown_by_primary_key(self):
        operation = make_operation(1)
        User.objects.filter(username="u00000").delete()

        (target,) = progress.page(operation).targets

        assert target.name == f"account {target.subject} (deleted)"

    def test_a_result_is_found_by_its_id(self):
        target = make_target(subject="some-task", lock_key="result:some-task")
        Operation.objects.update(verb="retry_failed")
        operation = Operation.objects.get()

        assert progress.page(operation, subject="some-task").targets == [target]
        assert progress.page(operation, subject="u00000").targets == []

    def test_details_have_the_reason_and_the_error(self):
        operation = make_operation(1)
        settle(operation, 1, "failed", reason="refused", detail="550 no such user")

        (target,) = progress.page(operation).targets

        assert target.details == "delivery refused · 550 no such user"

    def test_a_possible_duplicate_is_reported(self):
        operation = make_operation(1)
        operation.targets.update(state="done", uncertain=True)

        assert "twice" in progress.page(operation).targets[0].details

    def test_the_number_of_queries_is_constant(self, django_assert_max_num_queries):
        operation = make_operation(200)

        with django_assert_max_num_queries(2):
            progress.page(operation)
