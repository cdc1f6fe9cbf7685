"""What is done from an operation's page: the rate, and the targets as CSV."""

import csv
import io

import pytest

from tasks_admin import dispatcher
from tasks_admin.lib.errors import DeliveryRejected
from tasks_admin.models import Operation, Target
from tests.conftest import grant
from tests.support.factories import make_operation, make_target
from tests.support.pages import OPERATIONS, page_text
from tests.support.reset_emails import request_email, run_task


@pytest.fixture
def client(as_user, alice):
    return as_user(alice)


@pytest.fixture
def operation(alice):
    return make_operation(4, actor=alice)


def address(operation, act):
    return f"{OPERATIONS}{operation.pk}/{act}"


def rate_of(operation):
    return Operation.objects.get(pk=operation.pk).rate


class TestThrottle:
    """A rate is given, changed and taken away on the way."""

    def throttle(self, client, operation, rate, **fields):
        data = {"reason": "the provider limits us", "rate": rate} | fields
        return client.post(address(operation, "throttle/"), data, follow=True)

    def test_it_is_set_recorded_and_shown(self, client, operation, alice):
        page = self.throttle(client, operation, "120")

        assert rate_of(operation) == 120
        assert "at most 120/min" in page_text(page)
        record = Operation.objects.get(verb="throttle")
        assert (record.rate, record.actor, record.parent) == (120, alice, operation)
        assert record.reason == "the provider limits us"

    def test_empty_takes_it_away(self, client, operation):
        Operation.objects.update(rate=5)

        self.throttle(client, operation, "")

        assert rate_of(operation) is None

    @pytest.mark.parametrize("rate", ["1", "1000000", " 7 "])
    def test_what_is_a_rate(self, client, operation, rate):
        self.throttle(client, operation, rate)

        assert rate_of(operation) == int(rate)

    @pytest.mark.parametrize(
        "rate", ["0", "-1", "many", "1.5", "1e3", "1000001", "9" * 40, "\x00", "٣ x", "🦄" * 300]
    )
    def test_what_is_none_changes_nothing_and_says_so(self, client, operation, rate):
        Operation.objects.update(rate=5)

        page = self.throttle(client, operation, rate)

        assert "Rate limit (per minute)" in page_text(page)
        assert rate_of(operation) == 5
        assert Operation.objects.count() == 1

    def test_it_takes_a_reason(self, client, operation):
        assert "This field is required" in page_text(
            self.throttle(client, operation, "5", reason=" ")
        )
        assert rate_of(operation) is None

    @pytest.mark.parametrize("state", ["aborted", "finished"])
    def test_what_is_over_is_left_alone(self, client, operation, state):
        Operation.objects.update(state=state)

        page = self.throttle(client, operation, "5")

        assert "has finished. Nothing was changed" in page_text(page)
        assert rate_of(operation) is None

    def test_it_takes_the_permission(self, as_user, charlie, operation):
        assert self.throttle(as_user(charlie), operation, "5").status_code == 403
        self.throttle(as_user(grant(charlie, "tasks_admin.throttle")), operation, "5")

        assert rate_of(operation) == 5

    def test_the_next_round_obeys(self, client, operation, broker):
        self.throttle(client, operation, "60")

        assert dispatcher.sweep() == 1


class TestCsv:
    """The targets with their outcomes: keys, no names and no addresses."""

    @pytest.fixture
    def taker(self, as_user, charlie):
        return as_user(grant(charlie, "tasks_admin.export_operations"))

    def rows(self, client, operation, **query):
        page = client.get(address(operation, "targets.csv"), query)
        assert page.status_code == 200
        assert page.streaming
        return list(csv.DictReader(io.StringIO(page.getvalue().decode())))

    def test_one_row_a_target(self, taker, operation):
        first = operation.targets.order_by("pk").first()
        Target.objects.filter(pk=first.pk).settle("failed", reason="refused", detail="550, no")

        rows = self.rows(taker, operation)

        assert [row["subject"] for row in rows] == list(
            operation.targets.order_by("pk").values_list("subject", flat=True)
        )
        assert (rows[0]["state"], rows[0]["reason"]) == ("failed", "refused")
        assert (rows[0]["detail"], rows[0]["tries"]) == ("550, no", "0")
        assert rows[0]["finished_at"] > rows[1]["finished_at"] == ""

    def test_of_one_outcome(self, taker, operation):
        operation.targets.filter(pk=operation.targets.first().pk).settle("failed")

        assert len(self.rows(taker, operation, state="failed")) == 1
        assert len(self.rows(taker, operation, state="done")) == 0
        assert len(self.rows(taker, operation, state="nonsense")) == 4

    @pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\t=1", " =HYPERLINK(1)"])
    def test_no_spreadsheet_runs_a_cell(self, taker, cell):
        target = make_target("failed", detail=cell)

        (row,) = self.rows(taker, target.operation)

        assert row["detail"] == f"'{cell}"

    def test_no_name_and_no_address_though_the_server_says_them(
        self, taker, mailbox, alice, make_user
    ):
        target = request_email(make_user("ann", email="550-ann@mail.example"), actor=alice)
        with pytest.raises(DeliveryRejected):
            run_task(target)

        page = taker.get(address(target.operation, "targets.csv")).getvalue()

        assert b"failed,refused" in page
        assert b"ann" not in page
        assert b"@" not in page

    def test_it_takes_the_permission(self, as_user, charlie, mallory, operation):
        url = address(operation, "targets.csv")
        assert as_user(charlie).get(url).status_code == 403
        assert b"targets.csv" not in as_user(charlie).get(operation.get_absolute_url()).content

        able = grant(mallory, "tasks_admin.export_operations")
        assert as_user(able).get(url).status_code == 403, "who may not look may not take"

    def test_the_link_needs_no_other_permission(self, taker, operation):
        assert b"targets.csv" in taker.get(operation.get_absolute_url()).content

    def test_it_is_a_file(self, taker, operation):
        page = taker.get(address(operation, "targets.csv"))

        assert page["Content-Type"] == "text/csv; charset=utf-8"
        assert f'filename="operation-{operation.pk}.csv"' in page["Content-Disposition"]

    def test_it_is_only_read(self, taker, operation):
        assert taker.post(address(operation, "targets.csv")).status_code == 405

    @pytest.mark.parametrize("pk", ["0", "x", "9" * 30])
    def test_one_that_is_none(self, taker, pk):
        assert taker.get(f"{OPERATIONS}{pk}/targets.csv").status_code == 404

    def test_many_rows_are_never_held_at_once(self, taker, db):
        operation = make_operation(5000)
        page = taker.get(address(operation, "targets.csv"))

        parts = list(page.streaming_content)

        assert len(parts) == 5001
