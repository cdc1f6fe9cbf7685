"""Fifty concurrent confirmations start one operation and retry each result once."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chaos.test_kills import eligible, prepare
from tests.host.executions import Executions, make_host_stack, store_failed_results
from tests.support.factories import run_concurrently
from tests.support.http_client import HTTPClient
from tests.support.scenario import PASSWORD, USERS
from tests.support.servers import Postgres
from tests.support.stack import Stack, until

CLIENTS = 50
RESULTS = "/admin/tasks_admin/result/?"
pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def project(
    request: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stack, Executions]]:
    """A host project on SQLite or PostgreSQL, with all processes except the mail catcher."""
    with contextlib.ExitStack() as cleanup:
        environment = {}
        if request.param == "postgres":
            postgres = Postgres(tmp_path_factory.mktemp("postgres"))
            cleanup.callback(postgres.stop)
            environment = {"DATABASE_URL": postgres.url, "SECRET_KEY": "only for tests " * 4}
        stack, marks = make_host_stack(tmp_path_factory.mktemp("stack"), **environment)
        cleanup.callback(stack.close)
        prepare(stack, 20)
        stack.start("broker", "web", "worker", "dispatcher")
        stack.ready()
        yield stack, marks


def open_confirmations(
    stack: Stack, path: str, action: str, *selections: dict[str, Any]
) -> list[HTTPClient]:
    """Return clients of one session, each on the confirmation page of its own selection.

    If there are fewer selections than clients, the others share the first client's page.
    """
    first = HTTPClient(stack.url)
    first.sign_in("admin", PASSWORD)
    clients = [HTTPClient(stack.url) for _ in range(CLIENTS)]
    for number, client in enumerate(clients):
        client.opener = first.opener  # shares the session cookie
        if number < len(selections):
            client.get(path)
            client.post(path, action=action, index=0, **selections[number])
            assert "consequence" in client.text, client.text
        else:
            client.text, client.current_url = clients[0].text, clients[0].current_url
    return clients


def confirm_at_once(clients: list[HTTPClient], path: str) -> list[Any]:
    """Submit all confirmations at the same time; return the HTTP statuses."""

    def submit(number: int) -> int:
        client = clients[number]
        client.post(path, **client.hidden_fields(), reason="r", confirm="yes")
        return client.status

    return run_concurrently(len(clients), submit)


def test_one_page_confirmed_concurrently_starts_one_operation(project: Any) -> None:
    stack, _marks = project
    all_users = {"select_across": 1, "_selected_action": 1}
    clients = open_confirmations(stack, USERS, "send_reset_email", all_users)

    statuses = confirm_at_once(clients, USERS)

    assert statuses == [200] * CLIENTS, statuses
    assert len({client.current_url for client in clients}) == 1
    assert stack.evaluate(
        "[o.total for o in Operation.objects.filter(verb='send_reset_email')]"
    ) == [eligible(stack)]


def test_a_failure_in_two_selections_is_retried_once(project: Any) -> None:
    stack, marks = project
    store_failed_results(stack, 3)
    pks = stack.evaluate(
        "list(Result.objects.filter(status='FAILURE').values_list('pk', flat=True))"
    )
    one, both, other = sorted(pks)
    # 25 pages confirm the first two results, 25 the last two. Each page is a new confirmation.
    halves = [{"_selected_action": [one, both]}, {"_selected_action": [both, other]}]
    clients = open_confirmations(stack, RESULTS, "retry_failed", *halves * (CLIENTS // 2))

    statuses = confirm_at_once(clients, RESULTS)

    assert set(statuses) == {200}, statuses
    # One of them wins. The other half of the pages is shown again, without the retried result.
    subjects = "[t.subject for t in Target.objects.filter(operation__verb='retry_failed')]"
    retried = stack.evaluate(subjects)
    assert len(retried) == 2 and "failed-1" in retried, retried
    unfinished = "Target.objects.filter(operation__verb='retry_failed', finished_at=None).count()"
    until(
        lambda: stack.evaluate(unfinished) == 0, lambda: f"the end of all retries\n{stack.logs()}"
    )
    assert marks.numbers() == {int(subject[-1]): 1 for subject in retried}
