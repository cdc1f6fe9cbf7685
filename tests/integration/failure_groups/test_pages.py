"""The pages of failure groups: the list, the page of one group, and its actions."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tasks_admin.models import FailureGroup, Operation, Result
from tasks_admin.results import failure_groups
from tests.support.factories import make_failure_group, make_result
from tests.support.failing_tasks import chained, store_failure
from tests.support.pages import FAILURE_GROUPS, OPERATIONS, RESULTS, confirm, page_text

HOSTILE = "<script>alert(1)</script>"
pytestmark = pytest.mark.django_db


@pytest.fixture
def client(as_user, alice):
    return as_user(alice)


def page_of(client, group, **query):
    return client.get(f"{FAILURE_GROUPS}{group.pk}/change/", query)


def post(client, group, act, **data):
    return client.post(
        f"{FAILURE_GROUPS}{group.pk}/{act}/", {"reason": "because"} | data, follow=True
    )


class TestList:
    """The list of groups."""

    def test_what_it_shows(self, client):
        store_failure("shop.charge", chained, 3)

        words = page_text(client.get(FAILURE_GROUPS))

        message = "tests.support.failing_tasks.Refused: Order &lt;number&gt; was refused"
        place = "tests.support.failing_tasks:chained"
        for word in (message, place, "shop.charge", "open", "100 %"):
            assert word in words, words

    @pytest.mark.parametrize(
        ("query", "shown"),
        [("", {"open", "resolved"}), ("?state=open", {"open"}), ("?state=muted", {"muted"}),
         ("?state=resolved", {"resolved"}), ("?state=all", {"open", "resolved", "muted"}),
         ("?state=bogus", set()), ("?task=t-muted&state=all", {"muted"}), ("?task=none", set()),
         ("?q=about+open", {"open"}), ("?q=nowhere", set()), ("?q=%00&state=%00", set())],
    )  # fmt: skip
    def test_filters(self, client, query, shown):
        for state in ("open", "resolved", "muted"):
            make_failure_group(0, state=state, message=f"about {state}", task=f"t-{state}")

        page = client.get(FAILURE_GROUPS + query, follow=True)

        assert page.status_code == 200
        assert {row.state for row in page.context_data["cl"].result_list} == shown

    @pytest.mark.parametrize("query", ["?p=x", "?p=99999", "?o=1", "?all="])
    def test_invalid_parameters(self, client, query):
        make_failure_group()

        assert client.get(FAILURE_GROUPS + query, follow=True).status_code == 200

    def test_a_regressed_group_is_marked(self, client, alice):
        store_failure("t", chained, 1)
        failure_groups.resolve(group=FailureGroup.objects.get(), actor=alice, reason="r")
        assert "regressed" not in page_text(client.get(FAILURE_GROUPS))
        store_failure("t", chained, 2)

        assert "regressed" in page_text(client.get(FAILURE_GROUPS))
        assert "Regressed: this group was resolved, and failed again" in page_text(
            page_of(client, FailureGroup.objects.get())
        )

    def test_markup_is_escaped_and_nothing_is_inline(self, client):
        make_failure_group(message=HOSTILE, task=HOSTILE, location=HOSTILE, exception=HOSTILE)

        for page in (
            client.get(FAILURE_GROUPS),
            page_of(client, FailureGroup.objects.get()),
            client.get("/admin/"),
        ):
            html = page.content.decode()
            assert HOSTILE not in html
            assert "style=" not in html
            assert "alert(1)" in html


class TestPage:
    """One group."""

    def test_what_it_shows(self, client):
        task_id = store_failure("shop.charge", chained, 3)

        page = page_of(client, FailureGroup.objects.get())

        words = page_text(page)
        for word in (
            "shop.charge",
            "tests.support.failing_tasks:chained",
            "raise Refused",
            "1 of the last 1 finished run",
            task_id,
        ):
            assert word in words, words
        assert f"{RESULTS}of/?id={task_id}" in page.content.decode()

    def test_few_queries(self, client):
        group = make_failure_group(60)
        page_of(client, group)

        with CaptureQueriesContext(connection) as queries:
            page_of(client, group)

        assert len(queries) <= 12, [query["sql"] for query in queries]

    def test_older_failures(self, client):
        group = make_failure_group(25)

        older = page_of(client, group).context_data["older"]
        page = page_of(client, group, before=older)

        assert len(page.context_data["failures"]) == 5
        assert "First page" in page_text(page)

    @pytest.mark.parametrize("key", ["x", "-1", "9" * 30, "", "\x00", "²"])
    def test_an_invalid_page_key(self, client, key):
        assert page_of(client, make_failure_group(), before=key).status_code == 200

    @pytest.mark.parametrize("pk", ["999", "x", "9" * 40])
    def test_a_group_that_does_not_exist(self, client, pk):
        assert client.get(f"{FAILURE_GROUPS}{pk}/change/").status_code == 404
        assert client.post(f"{FAILURE_GROUPS}{pk}/resolve/", {"reason": "r"}).status_code == 404

    def test_a_traceback_is_masked(self, client):
        group = make_failure_group()
        Result.objects.update(traceback="E: cannot reach postgres://ops:hunter2@db/ops")

        assert "hunter2" not in page_of(client, group).content.decode()

    def test_results_require_their_view_permission(self, as_user, make_user):
        from tests.conftest import grant

        group = make_failure_group()
        Result.objects.update(traceback="only for some")
        clerk = grant(make_user(is_staff=True), "tasks_admin.view_failuregroup")

        page = page_of(as_user(clerk), group)

        assert page.status_code == 200
        assert "only for some" not in page_text(page)
        assert RESULTS not in page.content.decode()

    def test_failures_whose_results_have_expired(self, client):
        group = make_failure_group(2)
        Result.objects.all().delete()

        assert "no longer stored" in page_text(page_of(client, group))

    def test_a_result_links_to_its_group(self, client, as_user, make_user):
        from tests.conftest import grant

        group = make_failure_group()
        path = f"{RESULTS}{Result.objects.get().pk}/change/"

        assert group.get_absolute_url() in client.get(path).content.decode()
        other = client.get(f"{RESULTS}{make_result().pk}/change/").content.decode()
        assert "Failure group</dt>" not in other
        clerk = grant(make_user(is_staff=True), "tasks_admin.view_result")
        assert group.get_absolute_url() not in as_user(clerk).get(path).content.decode()

    def test_the_overview_lists_open_groups_with_recent_failures(self, client):
        make_failure_group(exception="shop.Now")
        make_failure_group(exception="shop.Resolved", state="resolved")
        make_failure_group(exception="shop.Before", last_at="2020-01-01T00:00Z")

        words = page_text(client.get("/admin/"))

        assert "Now (" in words
        assert "Resolved (" not in words
        assert "Before (" not in words


class TestActions:
    """Resolve, mute, reopen; retry the group."""

    @pytest.mark.parametrize(
        ("act", "before", "after"),
        [("resolve", "open", "resolved"), ("mute", "open", "muted"), ("reopen", "muted", "open")],
    )
    def test_the_action_is_performed_and_recorded(self, client, act, before, after):
        group = make_failure_group(state=before)

        page = post(client, group, act)

        assert FailureGroup.objects.get().state == after
        words = page_text(page)
        assert f"The failure group is now {after}." in words
        assert ": because" in words
        operation = Operation.objects.get(verb=act)
        assert str(group) in page_text(client.get(f"{OPERATIONS}{operation.pk}/change/"))

    def test_only_applicable_actions_are_offered(self, client):
        offered = {
            state: [act.name for act in page.context_data["actions"]]
            for state in ("open", "resolved", "muted")
            for page in [page_of(client, make_failure_group(state=state))]
        }

        assert offered == {
            "open": ["resolve", "mute"], "resolved": ["mute", "reopen"],
            "muted": ["resolve", "reopen"],
        }  # fmt: skip

    @pytest.mark.parametrize("reason", ["", "   ", "x" * 2001])
    def test_a_reason_is_required(self, client, reason):
        page = post(client, make_failure_group(), "resolve", reason=reason)

        wanted = "at most 2000 characters" if len(reason) > 2000 else "field is required"
        assert wanted in page_text(page)
        assert FailureGroup.objects.get().state == "open"

    def test_twice(self, client):
        group = make_failure_group()
        post(client, group, "resolve")

        assert "The failure group is resolved. Nothing was changed." in page_text(
            post(client, group, "resolve")
        )

    def test_without_the_permissions_nothing_is_offered_and_all_is_refused(self, as_user, charlie):
        client, group = as_user(charlie), make_failure_group()

        page = page_of(client, group)
        assert page.context_data["actions"] == []
        assert "Retry " not in page_text(page)
        for act in ("resolve", "mute", "retry"):
            assert post(client, group, act).status_code == 403
        assert not Operation.objects.exists()

    def test_the_group_is_retried_after_a_confirmation(self, client):
        group = make_failure_group(3)
        make_failure_group(2)
        path = f"{FAILURE_GROUPS}{group.pk}/retry/"

        page = client.post(path)
        assert "3 failed tasks will be queued again" in page_text(page)
        assert not Operation.objects.exists()
        confirm(client, page, path, rate="60", canary="on")

        operation = Operation.objects.get()
        assert (operation.verb, operation.total, operation.rate) == ("retry_failed", 3, 60)
        assert operation.canary
        assert str(operation) in page_text(page_of(client, group))
        assert "Nothing to do" in page_text(client.post(path))
