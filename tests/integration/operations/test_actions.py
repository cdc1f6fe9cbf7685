"""Actions on an operation's page: update the rate limit, and export the targets as CSV."""

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


def url_of(operation, action):
    return f"{OPERATIONS}{operation.pk}/{action}"


def rate_of(operation):
    return Operation.objects.get(pk=operation.pk).rate


class TestThrottle:
    """The rate limit can be set, changed and removed while the operation runs."""

    def throttle(self, client, operation, rate, **fields):
        data = {"reason": "the provider limits us", "rate": rate} | fields
        return client.post(url_of(operation, "throttle/"), data, follow=True)

    def test_the_rate_is_set_recorded_and_shown(self, client, operation, alice):
        page = self.throttle(client, operation, "120")

        assert rate_of(operation) == 120
        assert "at most 120/min" in page_text(page)
        record = Operation.objects.get(verb="throttle")
        assert (record.rate, record.actor, record.parent) == (120, alice, operation)
        assert record.reason == "the provider limits us"

    def test_an_empty_value_removes_the_limit(self, client, operation):
        Operation.objects.update(rate=5)

        self.throttle(client, operation, "")

        assert rate_of(operation) is None

    @pytest.mark.parametrize("rate", ["1", "1000000", " 7 "])
    def test_a_valid_rate_is_stored(self, client, operation, rate):
        self.throttle(client, operation, rate)

        assert rate_of(operation) == int(rate)

    @pytest.mark.parametrize(
        "rate", ["0", "-1", "many", "1.5", "1e3", "1000001", "9" * 40, "\x00", "٣ x", "🦄" * 300]
    )
    def test_an_invalid_rate_shows_the_form_and_changes_nothing(self, client, operation, rate):
        Operation.objects.update(rate=5)

        page = self.throttle(client, operation, rate)

        assert "Rate limit (per minute)" in page_text(page)
        assert rate_of(operation) == 5
        assert Operation.objects.count() == 1

    def test_a_reason_is_required(self, client, operation):
        assert "This field is required" in page_text(
            self.throttle(client, operation, "5", reason=" ")
        )
        assert rate_of(operation) is None

    @pytest.mark.parametrize("state", ["aborted", "finished"])
    def test_a_finished_operation_is_unchanged(self, client, operation, state):
        Operation.objects.update(state=state)

        page = self.throttle(client, operation, "5")

        assert "has finished. Nothing was changed" in page_text(page)
        assert rate_of(operation) is None

    def test_the_permission_is_required(self, as_user, charlie, operation):
        assert self.throttle(as_user(charlie), operation, "5").status_code == 403
        self.throttle(as_user(grant(charlie, "tasks_admin.throttle")), operation, "5")

        assert rate_of(operation) == 5

    def test_the_next_sweep_applies_the_limit(self, client, operation, broker):
        self.throttle(client, operation, "60")

        assert dispatcher.sweep() == 1


class TestCsv:
    """The targets with their outcomes: primary keys, no names and no email addresses."""

    @pytest.fixture
    def exporter(self, as_user, charlie):
        return as_user(grant(charlie, "tasks_admin.export_operations"))

    def rows(self, client, operation, **query):
        page = client.get(url_of(operation, "targets.csv"), query)
        assert page.status_code == 200
        assert page.streaming
        return list(csv.DictReader(io.StringIO(page.getvalue().decode())))

    def test_one_row_per_target(self, exporter, operation):
        first = operation.targets.order_by("pk").first()
        Target.objects.filter(pk=first.pk).settle("failed", reason="refused", detail="550, no")

        rows = self.rows(exporter, operation)

        assert [row["subject"] for row in rows] == list(
            operation.targets.order_by("pk").values_list("subject", flat=True)
        )
        assert (rows[0]["state"], rows[0]["reason"]) == ("failed", "refused")
        assert (rows[0]["detail"], rows[0]["tries"]) == ("550, no", "0")
        assert rows[0]["finished_at"] > rows[1]["finished_at"] == ""

    def test_filtered_by_outcome(self, exporter, operation):
        operation.targets.filter(pk=operation.targets.first().pk).settle("failed")

        assert len(self.rows(exporter, operation, state="failed")) == 1
        assert len(self.rows(exporter, operation, state="done")) == 0
        assert len(self.rows(exporter, operation, state="nonsense")) == 4

    @pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\t=1", " =HYPERLINK(1)"])
    def test_cells_that_look_like_formulas_are_prefixed(self, exporter, cell):
        target = make_target("failed", detail=cell)

        (row,) = self.rows(exporter, target.operation)

        assert row["detail"] == f"'{cell}"

    def test_a_servers_reply_reveals_no_name_and_no_email_address(
        self, exporter, mailbox, alice, make_user
    ):
        target = request_email(make_user("ann", email="550-ann@mail.example"), actor=alice)
        with pytest.raises(DeliveryRejected):
            run_task(target)

        page = exporter.get(url_of(target.operation, "targets.csv")).getvalue()

        assert b"failed,refused" in page
        assert b"ann" not in page
        assert b"@" not in page

    def test_the_permission_is_required(self, as_user, charlie, mallory, operation):
        url = url_of(operation, "targets.csv")
        assert as_user(charlie).get(url).status_code == 403
        assert b"targets.csv" not in as_user(charlie).get(operation.get_absolute_url()).content

        exporter = grant(mallory, "tasks_admin.export_operations")
        assert as_user(exporter).get(url).status_code == 403, "it requires viewing, too"

    def test_the_link_requires_no_other_permission(self, exporter, operation):
        assert b"targets.csv" in exporter.get(operation.get_absolute_url()).content

    def test_it_is_downloaded_as_a_file(self, exporter, operation):
        page = exporter.get(url_of(operation, "targets.csv"))

        assert page["Content-Type"] == "text/csv; charset=utf-8"
        assert f'filename="operation-{operation.pk}.csv"' in page["Content-Disposition"]

    def test_a_post_is_not_allowed(self, exporter, operation):
        assert exporter.post(url_of(operation, "targets.csv")).status_code == 405

    @pytest.mark.parametrize("pk", ["0", "x", "9" * 30])
    def test_an_unknown_operation_is_not_found(self, exporter, pk):
        assert exporter.get(f"{OPERATIONS}{pk}/targets.csv").status_code == 404

    def test_rows_are_streamed_one_by_one(self, exporter, db):
        operation = make_operation(5000)
        page = exporter.get(url_of(operation, "targets.csv"))

        parts = list(page.streaming_content)

        assert len(parts) == 5001
