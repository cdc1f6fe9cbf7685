"""Task results: a list of constant cost, a page for any row, and retries with a confirmation."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_celery_results.models import TaskResult

from tasks_admin.models import Operation, Result, Target
from tests.support.factories import make_result, make_target
from tests.support.pages import RESULTS, confirm, page_text, run_action

ACTION = "retry_failed"
HOSTILE = "<script>alert(1)</script>"
ESCAPED = "&lt;script&gt;alert(1)"


@pytest.fixture
def client(as_user, alice):
    return as_user(alice)


def page_of(client, row):
    return client.get(f"{RESULTS}{row.pk}/change/")


class TestList:
    """Newest first, at a cost that does not depend on the number of rows."""

    def test_the_columns(self, client):
        make_result(worker="w1@here", args=[42], kwargs={"a": "b"})

        words = page_text(client.get(RESULTS))

        for word in ("failure", "tasks_admin.send_reset_email", "w1@here", "[42]", '"b"'):
            assert word.replace('"', "&quot;") in words

    def test_few_queries_without_distinct_and_bounded_counts(self, client, settings):
        settings.TASKS_ADMIN_COUNT_BOUND = 60
        for _ in range(70):
            make_result()

        with CaptureQueriesContext(connection) as queries:
            page = client.get(RESULTS)

        assert page.status_code == 200
        asked = [query["sql"] for query in queries]
        assert len(asked) <= 8, asked
        assert not any("DISTINCT" in sql for sql in asked)
        counts = [sql for sql in asked if "COUNT(" in sql]
        assert all("LIMIT 61" in sql for sql in counts), counts
        rows = [sql for sql in asked if "LIMIT 50" in sql]
        assert all("traceback" not in sql and '"result"' not in sql for sql in rows)

    def test_a_bounded_count_has_a_plus_sign(self, client, settings):
        settings.TASKS_ADMIN_COUNT_BOUND = 60
        for _ in range(61):
            make_result()

        words = page_text(client.get(RESULTS))

        assert "60+ task results" in words
        assert "Select all 60+ task results" in words
        assert "61 task results" not in words

    def test_a_count_below_the_bound_is_exact(self, client):
        make_result()

        assert "1 task result" in page_text(client.get(RESULTS))

    @pytest.mark.parametrize("page", ["2", "200", "0", "-1", "x", "9" * 30, ""])
    def test_invalid_page_numbers(self, client, page):
        make_result()

        assert client.get(RESULTS, {"p": page}).status_code in {200, 302}

    @pytest.mark.parametrize(
        "column", ["task_name", "task_args", "task_kwargs", "worker", "status"]
    )
    def test_markup_is_escaped(self, client, column):
        row = make_result(**{column: HOSTILE})

        for page in (client.get(RESULTS), page_of(client, row)):
            assert HOSTILE.encode() not in page.content
            assert ESCAPED.encode() in page.content

    def test_filters_by_status_and_task(self, client):
        make_result("SUCCESS", worker="one@w")
        make_result("FAILURE", worker="two@w", task="tasks_admin.housekeeping")

        assert b"one@w" in client.get(RESULTS, {"status": "SUCCESS"}).content
        assert b"two@w" not in client.get(RESULTS, {"status": "SUCCESS"}).content
        assert b"two@w" in client.get(RESULTS, {"task": "tasks_admin.housekeeping"}).content

    def test_a_full_task_id_is_found(self, client):
        row = make_result(worker="w1@here")

        assert b"w1@here" in client.get(RESULTS, {"q": row.task_id}).content
        assert b"w1@here" not in client.get(RESULTS, {"q": row.task_id[:-1]}).content

    @pytest.mark.parametrize(
        "name",
        ["q", "status", "task", "status__exact", "p", "o", "e", "all", "task_id",
         "result__contains", "id__in", "_popup", "z"],
    )  # fmt: skip
    @pytest.mark.parametrize("value", ["", "x", "\x00", "'\"--", "9" * 30, "🦄" * 300, "%", "a,b"])
    def test_invalid_parameters_are_no_server_error(self, client, name, value):
        make_result()

        assert client.get(RESULTS, {name: value}).status_code in {200, 302, 400}

    def test_the_stock_page_is_unregistered(self, client):
        assert client.get("/admin/django_celery_results/taskresult/").status_code == 404


UNUSUAL = {
    "nothing known": dict.fromkeys(
        [
            "task_name",
            "task_args",
            "task_kwargs",
            "worker",
            "result",
            "traceback",
            "meta",
            "periodic_task_name",
            "date_started",
        ],
    ),
    "stock": {"task_args": "\"(1, '...')\"", "task_kwargs": '"{}"', "meta": '{"children": []}'},
    "binary": {"content_encoding": "binary", "result": "gAVLAS4=", "task_args": "gAVLAS4="},
    "broken": {"task_args": "[1, ", "task_kwargs": "{", "meta": "[", "result": "{"},
    "other types": {"task_args": "7", "task_kwargs": "[]", "meta": "[1]"},
    "hostile types": {"task_args": '[{"__type__": "decimal", "__value__": "x"}]'},
    "unknown types": {"task_args": '[{"__type__": "x", "__value__": 1}]'},
    "deep": {"task_args": "[" * 100_000},
    "megabytes": {"traceback": "x" * 2_000_000, "result": "y" * 2_000_000},
    "slashes": {"task_id": "a/../b//c%2F?d=e#f " * 13},
    "a line break": {"task_id": "a\nb\r\x1b[31m"},
    "dots": {"task_id": ".."},
    "another state": {"status": "MY-OWN-STATE"},
    "ended before it began": {"status": "SUCCESS", "date_started": timezone.now()},
    "nul": {"task_args": '["\\u0000"]'},
}


class TestPage:
    """Every row has a page, whatever is stored in it."""

    @pytest.mark.parametrize("row", UNUSUAL.values(), ids=UNUSUAL)
    def test_unusual_rows(self, client, row):
        result = make_result(**row)

        assert client.get(RESULTS).status_code == 200
        page = page_of(client, result)
        assert page.status_code == 200
        assert len(page.content) < 500_000
        assert client.get(f"{RESULTS}of/", {"id": result.task_id}).url.endswith(
            f"/{result.pk}/change/"
        )

    @pytest.mark.parametrize("row", UNUSUAL.values(), ids=UNUSUAL)
    def test_a_link_to_an_unusual_row_works(self, client, row):
        old = make_result(**row)
        target = make_target("done", subject=old.task_id, lock_key=f"result:{old.task_id}")
        Operation.objects.update(verb="retry_failed")
        new = make_result(task_id=target.task_id)

        assert page_of(client, new).status_code == 200
        assert b"of/?id=" in page_of(client, old).content

    def test_arguments_keep_their_types(self, client):
        words = page_text(page_of(client, make_result(args=["42", 42, None], kwargs={"k": [True]})))

        assert "1 &quot;42&quot; 2 42 3 null k 1 item 0 true" in words, words

    def test_the_attempts_of_its_target(self, client):
        target = make_target("queued", attempt=2)
        rows = [make_result(task_id=task_id) for task_id in target.task_ids()]

        page = page_of(client, rows[0])

        assert str(target.operation) in page_text(page)
        assert "This attempt" in page_text(page)
        assert rows[1].task_id in page.content.decode()

    def test_the_traceback_is_escaped(self, client):
        row = make_result(traceback=HOSTILE, result=HOSTILE, meta='{"queue": "<b>"}')

        page = page_of(client, row)

        assert HOSTILE.encode() not in page.content
        assert page.content.count(ESCAPED.encode()) == 2
        assert b"<b>" not in page.content

    def test_a_row_that_does_not_exist(self, client):
        assert client.get(f"{RESULTS}999/change/").status_code == 302
        assert client.get(f"{RESULTS}x/change/").status_code == 302

    @pytest.mark.parametrize("task_id", ["", "none", "\x00", "<b>", "x" * 5000])
    def test_a_task_without_a_result(self, client, task_id):
        page = client.get(f"{RESULTS}of/", {"id": task_id}, follow=True)

        assert "No result is stored for task" in page_text(page)

    @pytest.mark.parametrize("path", ["add/", "1/delete/"])
    def test_staff_cannot_add_or_delete_rows(self, client, path):
        make_result(id=1)

        assert client.post(RESULTS + path, {"post": "yes"}).status_code == 403
        assert Result.objects.count() == 1

    def test_staff_cannot_change_rows(self, client):
        row = make_result()

        response = client.post(f"{RESULTS}{row.pk}/change/", {"status": "SUCCESS"})

        assert response.status_code == 403
        assert TaskResult.objects.get().status == "FAILURE"


class TestRetry:
    """The action: confirmation page, then operation."""

    def test_from_the_list(self, client):
        rows = [make_result(), make_result(), make_result("SUCCESS")]

        page = run_action(client, RESULTS, ACTION, rows)

        words = page_text(page)
        assert "2 failed tasks will be queued again" in words
        assert "Did not fail 1" in words
        response = confirm(client, page, RESULTS)
        assert response.url == Operation.objects.get().get_absolute_url()
        assert Target.objects.count() == 2

    def test_from_the_page_of_one(self, client):
        row = make_result()
        assert b'name="action" value="retry_failed"' in page_of(client, row).content

        page = client.post(RESULTS, {"action": ACTION, "_selected_action": row.pk})

        assert "1 failed task will be queued again" in page_text(page)

    def test_a_task_that_cannot_be_retried_has_no_button(self, client):
        retried = make_result()
        confirm(client, run_action(client, RESULTS, ACTION, [retried]), RESULTS)

        for row in (retried, make_result("SUCCESS"), make_result(task_args="x")):
            assert b'name="action" value="retry_failed"' not in page_of(client, row).content

    def test_all_matching_rows(self, client):
        rows = [make_result() for _ in range(60)]
        make_result("SUCCESS")
        path = f"{RESULTS}?status=FAILURE"

        confirm(client, run_action(client, path, ACTION, rows[:1], select_across="1"), path)

        assert Operation.objects.get().total == 60

    def test_the_page_links_to_its_retry(self, client, alice):
        row = make_result()
        confirm(client, run_action(client, RESULTS, ACTION, [row]), RESULTS)

        assert "Waiting to be queued" in page_text(page_of(client, row))
        assert "alice" in page_text(page_of(client, row))
