"""The list paginates by key under any filter, and states when its search was bounded."""

import itertools
import re
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tasks_admin.integrations import broker as broker_api
from tasks_admin.models import Result, Target
from tests.support.factories import make_operation, make_result
from tests.support.pages import RESULTS, page_text

COUNT = 120


@pytest.fixture
def client(as_user, alice):
    return as_user(alice)


@pytest.fixture
def rows(db):
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    made = []
    for number in range(COUNT):
        made.append(
            make_result(
                "FAILURE" if number % 3 == 0 else "SUCCESS",
                task_id=f"row-{number:04}",
                task=f"shop.task{number % 2}",
                queue="mail" if number % 4 else "slow",
                worker=f"w{number % 5}@here",
                result='{"exc_type": "%s"}' % ("KeyError" if number % 2 else "OSError"),
            )
        )
        when = begin + timedelta(minutes=number // 2)  # two at a time: ties
        Result.objects.filter(pk=made[-1].pk).update(date_created=when)
    return made


def shown(page):
    return [row.task_id for row in page.context_data["cl"].result_list]


def joined(pages):
    return list(itertools.chain.from_iterable(pages))


def walk(client, query, name="older_link"):
    """Every page, from the first to the last."""
    page, found = client.get(RESULTS + query), []
    for _page in range(20):
        found.append(shown(page))
        link = getattr(page.context_data["cl"], name)
        if not link:
            return found
        page = client.get(RESULTS + link)
    raise AssertionError("the pages never end")


FILTERS = {
    "": lambda n: True,
    "?status=FAILURE": lambda n: n % 3 == 0,
    "?task=shop.task1": lambda n: n % 2,
    "?task=shop.task1&status=FAILURE": lambda n: n % 6 == 3,
    "?worker=w2@here": lambda n: n % 5 == 2,
    "?queue=slow": lambda n: n % 4 == 0,
    "?exception=KeyError": lambda n: n % 6 == 3,
    "?queue=mail&worker=w1@here&status=SUCCESS": lambda n: n % 4 and n % 5 == 1 and n % 3,
    "?from=2026-01-01T00:10&to=2026-01-01T00:40": lambda n: 10 <= n // 2 < 40,
    "?from=2026-01-01T00:10&status=FAILURE": lambda n: n // 2 >= 10 and n % 3 == 0,
    "?retried=no": lambda n: True,
    "?retried=yes": lambda n: False,
    "?q=text:oserror&status=FAILURE": lambda n: n % 6 == 0,
}


@pytest.mark.parametrize("query", FILTERS)
@pytest.mark.parametrize("bound", [20_000, 7])
def test_each_matching_row_is_on_one_page(client, rows, settings, query, bound):
    settings.TASKS_ADMIN_SEARCH_BOUND = bound if "text:" not in query else 20_000
    expected = [f"row-{n:04}" for n in reversed(range(COUNT)) if FILTERS[query](n)]

    pages = walk(client, query)

    assert joined(pages) == expected


@pytest.mark.parametrize("query", ["", "?status=SUCCESS", "?from=2026-01-01T00:00"])
def test_the_pages_backwards_are_the_same(client, rows, query):
    forwards = walk(client, query)
    last = client.get(RESULTS + query)
    while link := last.context_data["cl"].older_link:
        last = client.get(RESULTS + link)

    page, backwards = last, [shown(last)]
    while link := page.context_data["cl"].newer_link:
        page = client.get(RESULTS + link)
        backwards.append(shown(page))

    assert joined(reversed(backwards)) == joined(forwards)


def test_a_bounded_search_is_stated_and_can_be_continued(client, rows, settings):
    settings.TASKS_ADMIN_SEARCH_BOUND = 7

    page = client.get(RESULTS + "?retried=yes")

    assert shown(page) == []
    assert "7 rows were searched. There may be more matches. Continue the search" in page_text(page)
    assert "0+ task results" in page_text(page)


def test_new_rows_do_not_move_a_page(client, rows):
    first = client.get(RESULTS)
    second = RESULTS + first.context_data["cl"].older_link
    before = shown(client.get(second))

    make_result(task_id="newer")

    assert shown(client.get(second)) == before


@pytest.mark.parametrize(
    "key", ["x", "1_2", "2026-01-01T00:00_5", "-1", "9" * 30, "", "%00", "1.5"]
)
def test_a_key_of_another_list(client, rows, key):
    page = client.get(RESULTS + f"?before={key}")

    assert shown(page) == [row.task_id for row in reversed(rows)][:50]
    assert ("belongs to another list" in page_text(page)) is bool(key)


INVALID = [
    "operation=x", "operation=-1", "operation=9999", "operation=" + "9" * 200, "from=yesterday",
    "to=2026-99-99T00:00", "retried=maybe", "status=%00", "exception=%00", "worker=" + "w" * 9000,
]  # fmt: skip


@pytest.mark.parametrize("query", INVALID)
def test_invalid_filter_values_match_nothing(client, rows, query):
    page = client.get(f"{RESULTS}?{query}")

    assert page.status_code == 200
    name, _, value = query.partition("=")
    empty = "%00" in value and name == "exception"  # without the NUL it is empty: not set
    assert len(shown(page)) == (50 if empty else 0)


@pytest.mark.parametrize(
    "query", ["?nonsense=1", "?status__in=a", "?result__contains=x", "?p=7", "?o=1", "?all=1"]
)
def test_unknown_parameters_are_no_server_error(client, rows, query):
    assert client.get(RESULTS + query, follow=True).status_code in {200, 400}


@pytest.mark.parametrize(
    "typed",
    ["row-0007", "/é" * 127 + "x", "with/slash", "q" * 10_000, "\x00", "user:", "text:", "%", "'"],
)
def test_any_search_term(client, rows, typed):
    make_result(task_id="/é" * 127 + "x")
    make_result(task_id="with/slash")

    page = client.get(RESULTS, {"q": typed})

    assert page.status_code == 200
    if "0007" in typed or "/" in typed:
        assert shown(page) == [typed]


@pytest.mark.parametrize("typed", ["{name}", "{email}", "{pk}", "user:{name}", "user:{pk}"])
def test_a_users_reset_emails_are_found(client, make_user, typed):
    user, other = make_user("dora"), make_user("emil")
    mine = make_result(args=[user.pk])
    make_result(args=[other.pk])
    make_result(args=[user.pk], task="shop.task0")

    page = client.get(
        RESULTS, {"q": typed.format(name="dora", email=user.email.upper(), pk=user.pk)}
    )

    assert shown(page) == [mine.task_id]


def test_masked_values_are_not_found(client, db):
    make_result(result='{"exc_type": "X", "exc_message": ["password=hunter2 is wrong"]}')

    assert shown(client.get(RESULTS, {"q": "text:hunter2"})) == []
    assert len(shown(client.get(RESULTS, {"q": "text:is wrong"}))) == 1


def test_the_results_of_an_operation(client, db):
    operation, other = make_operation(2), make_operation(1, prefix="v")
    Target.objects.update(attempt=1)
    rows = [make_result(task_id=target.task_id) for target in Target.objects.order_by("pk")]

    page = client.get(f"{RESULTS}?operation={operation.pk}")

    assert shown(page) == [rows[1].task_id, rows[0].task_id]
    assert shown(client.get(f"{RESULTS}?operation=%23{other.pk}")) == [rows[2].task_id]


def test_columns_are_selected_and_stored(client, rows):
    page = client.get(RESULTS)
    assert "w1@here" in page_text(page)

    client.post(
        f"{RESULTS}columns/", {"column": ["short_id", "queue", "nonsense"], "next": RESULTS}
    )

    page = client.get(RESULTS)
    assert "w1@here" not in re.sub(r"<nav.*?</nav>", "", page.content.decode(), flags=re.S)
    assert "column-queue" in page.content.decode()
    client.post(f"{RESULTS}columns/", {"next": "https://evil.example/"})
    assert "column-worker" in client.get(RESULTS).content.decode()


@pytest.mark.parametrize(
    "query", [*FILTERS, "?before=60", "?status=FAILURE&worker=w1@here&before=100"]
)
def test_eight_queries_and_no_offset(as_user, bob, rows, query):
    client = as_user(bob)
    with CaptureQueriesContext(connection) as queries:
        client.get(RESULTS + query)

    asked = [one["sql"] for one in queries]
    assert len(asked) <= 8, "\n".join(asked)
    assert not [sql for sql in asked if "OFFSET" in sql or "DISTINCT" in sql]


def test_only_declared_queues_are_suggested(client, rows, broker):
    broker_api.count_waiting(["made-up"])  # Celery remembers every name that it has looked up

    page = client.get(RESULTS).content.decode()

    assert '<option value="mail">' in page
    assert "made-up" not in page
