"""Fifty concurrent confirmations start one operation and retry each result once."""

from typing import Any

import pytest

from tests.support.console import Console
from tests.support.factories import run_concurrently
from tests.support.http_client import HTTPClient
from tests.support.scenario import ALL_ROWS, USERS, count_eligible, sign_in, store_failures
from tests.support.stack import Stack, until

CLIENTS = 50
RESULTS = "/admin/tasks_admin/result/?"
pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]


@pytest.fixture(params=["sqlite", "postgres"])
def console(request: Any) -> Console:
    """A console on SQLite or PostgreSQL, with twenty sample users."""
    name = "shared_console" if request.param == "sqlite" else "shared_production_console"
    console: Console = request.getfixturevalue(name)
    console.prepare("mail", "web", "worker", "dispatcher", users=20)
    return console


def open_confirmations(
    stack: Stack, path: str, action: str, *selections: dict[str, Any]
) -> list[HTTPClient]:
    """Return clients of one session, each on the confirmation page of its own selection.

    If there are fewer selections than clients, the others share the first client's page.
    """
    first = sign_in(stack)
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


def test_one_page_confirmed_concurrently_starts_one_operation(console: Console) -> None:
    stack = console.stack
    clients = open_confirmations(stack, USERS, "send_reset_email", ALL_ROWS)

    statuses = confirm_at_once(clients, USERS)

    assert statuses == [200] * CLIENTS, statuses
    assert len({client.current_url for client in clients}) == 1
    assert stack.evaluate(
        "[o.total for o in Operation.objects.filter(verb='send_reset_email')]"
    ) == [count_eligible(stack)]


def test_a_failure_in_two_selections_is_retried_once(console: Console) -> None:
    stack = console.stack
    store_failures(stack, "host.record", range(3), queue="celery")
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
    assert console.executions.counts() == {int(subject[-1]): 1 for subject in retried}
