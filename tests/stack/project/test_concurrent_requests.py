"""Fifty browsers at the same moment: what must be done once is done once, on either database."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chaos.test_kills import eligible, prepare
from tests.host.marks import Marks, fail, host
from tests.support.chaos import PASSWORD, USERS
from tests.support.factories import at_once
from tests.support.http_client import HTTPClient
from tests.support.servers import Postgres
from tests.support.stack import Stack, until

CROWD = 50
RESULTS = "/admin/tasks_admin/result/?"
pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def project(
    request: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stack, Marks]]:
    """A project with the console, on either database, everything running but mail."""
    with contextlib.ExitStack() as ends:
        environment = {}
        if request.param == "postgres":
            postgres = Postgres(tmp_path_factory.mktemp("postgres"))
            ends.callback(postgres.stop)
            environment = {"DATABASE_URL": postgres.url, "SECRET_KEY": "only for crowds " * 4}
        stack, marks = host(tmp_path_factory.mktemp("stack"), **environment)
        ends.callback(stack.close)
        prepare(stack, 20)
        stack.start("broker", "web", "worker", "dispatcher")
        stack.ready()
        yield stack, marks


def crowd(stack: Stack, path: str, action: str, *selections: dict[str, Any]) -> list[HTTPClient]:
    """Browsers of one person: each has a page that asks, or the first one's when there are less."""
    first = HTTPClient(stack.url)
    first.sign_in("admin", PASSWORD)
    visitors = [HTTPClient(stack.url) for _ in range(CROWD)]
    for number, visitor in enumerate(visitors):
        visitor.opener = first.opener  # with its cookies
        if number < len(selections):
            visitor.get(path)
            visitor.post(path, action=action, index=0, **selections[number])
            assert "consequence" in visitor.text, visitor.text
        else:
            visitor.text, visitor.current_url = visitors[0].text, visitors[0].at
    return visitors


def confirm_at_once(visitors: list[HTTPClient], path: str) -> list[Any]:
    """All of them press the button."""

    def press(number: int) -> int:
        visitor = visitors[number]
        visitor.post(path, **visitor.hidden_fields(), reason="r", confirm="yes")
        return visitor.status

    return at_once(len(visitors), press)


def test_one_page_that_is_confirmed_by_all_starts_one_operation(project: Any) -> None:
    stack, _marks = project
    everybody = {"select_across": 1, "_selected_action": 1}
    visitors = crowd(stack, USERS, "send_reset_email", everybody)

    outcomes = confirm_at_once(visitors, USERS)

    assert outcomes == [200] * CROWD, outcomes
    assert len({visitor.current_url for visitor in visitors}) == 1
    assert stack.evaluate(
        "[o.total for o in Operation.objects.filter(verb='send_reset_email')]"
    ) == [eligible(stack)]


def test_one_failure_in_two_selections_is_run_again_once(project: Any) -> None:
    stack, marks = project
    fail(stack, 3)
    pks = stack.evaluate(
        "list(Result.objects.filter(status='FAILURE').values_list('pk', flat=True))"
    )
    one, both, other = sorted(pks)
    # Twenty-five pages ask about the first two, twenty-five about the last two: each page is new.
    halves = [{"_selected_action": [one, both]}, {"_selected_action": [both, other]}]
    visitors = crowd(stack, RESULTS, "retry_failed", *halves * (CROWD // 2))

    outcomes = confirm_at_once(visitors, RESULTS)

    assert set(outcomes) == {200}, outcomes
    # One of them wins; to the other half the set is shown anew, without what it held.
    subjects = "[t.subject for t in Target.objects.filter(operation__verb='retry_failed')]"
    retried = stack.evaluate(subjects)
    assert len(retried) == 2 and "failed-1" in retried, retried
    open_ones = "Target.objects.filter(operation__verb='retry_failed', finished_at=None).count()"
    until(lambda: stack.evaluate(open_ones) == 0, lambda: f"all are run\n{stack.logs()}")
    assert marks.numbers() == {int(subject[-1]): 1 for subject in retried}
