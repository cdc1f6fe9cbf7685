"""The main workflow over HTTP: on SQLite and Valkey, and on PostgreSQL and RabbitMQ."""

import re
from collections import Counter
from email import message_from_bytes, policy
from typing import Any

import pytest

from tests.support.http_client import HTTPClient
from tests.support.scenario import ALL_ROWS, FAILED_RESULTS, USERS, count_eligible, sign_in
from tests.support.stack import WAIT_TIMEOUT, Stack, until

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module", params=["sqlite-valkey", "postgres-rabbitmq"])
def stack(request: Any) -> Stack:
    """A console with a hundred sample users, some of whose addresses are refused."""
    name = "shared_console" if request.param == "sqlite-valkey" else "shared_production_console"
    stack: Stack = request.getfixturevalue(name).prepare("web", "worker", users=100)
    stack.start("mail", OPSCONSOLE_DEMO="1")
    stack.start("dispatcher", TASKS_ADMIN_MAIL_SUMMARY="1")
    return stack


@pytest.fixture
def admin(stack: Stack) -> HTTPClient:
    """The client of the superuser, signed in."""
    return sign_in(stack)


def wait_until_finished(stack: Stack, client: HTTPClient) -> Counter[str]:
    """Wait for the end of the operation on the client's page; return its outcome counts."""
    key = int(re.search(r"/operation/(\d+)/", client.current_url)[1])  # type: ignore[index]
    finished = f"Operation.objects.filter(pk={key}).exclude(finished_at=None)"
    counts = f"[operation.outcome_counts for operation in {finished}]"
    (outcome_counts,) = until(
        lambda: stack.evaluate(counts), lambda: f"the end of operation {key}\n{stack.logs()}"
    )
    return Counter(outcome_counts)


def recipients(stack: Stack, prefix: str) -> Counter[str]:
    """Return the number of emails per recipient whose address begins with the prefix."""
    emails = (message_from_bytes(p.read_bytes(), policy=policy.default) for p in stack.emails())
    return Counter(to for email in emails if (to := str(email["To"])).startswith(prefix))


def test_each_matching_user_gets_one_email_and_failures_are_retried(
    stack: Stack, admin: HTTPClient
) -> None:
    page = admin.run_action(USERS, "send_reset_email", "The yearly change", **ALL_ROWS)
    assert "Send reset emails" in page
    counts = wait_until_finished(stack, admin)

    eligible = count_eligible(stack)
    refused = stack.evaluate(
        "User.objects.filter(username__startswith='demo-0')"
        ".filter(email__endswith='refused.example').count()"
    )
    assert counts == {"done": eligible - refused, "failed": refused}
    sent = recipients(stack, "demo-0")
    assert len(sent) == eligible - refused and set(sent.values()) == {1}

    admin.run_action(FAILED_RESULTS, "retry_failed", "Once more", **ALL_ROWS)
    assert wait_until_finished(stack, admin) == {"failed": refused}
    assert recipients(stack, "demo-0") == sent

    admin.get(FAILED_RESULTS)
    admin.post(FAILED_RESULTS, action="retry_failed", index=0, **ALL_ROWS)
    assert "Already retried" in admin.text


def test_a_program_without_django_can_queue_a_reset_email(stack: Stack) -> None:
    stack.evaluate(
        "User.objects.get_or_create(username='dave',"
        " defaults={'email': 'dave@mail.example', 'password': 'md5$x$y'})[0].pk"
    )
    code = (
        "from celery import Celery; import sys;"
        "Celery(broker=sys.argv[1]).send_task('tasks_admin.send_reset_email', [int(sys.argv[2])])"
    )
    pk = stack.evaluate("User.objects.get(username='dave').pk")
    process = stack.run("sender", "python", "-c", code, stack.broker_url, str(pk))

    assert process.wait(WAIT_TIMEOUT) == 0
    until(
        lambda: recipients(stack, "dave").total() == 1, lambda: f"an email to dave\n{stack.logs()}"
    )


def reset_email_to_admin(stack: Stack) -> str:
    """Return the source of the latest email to the admin that has a link; summaries have none."""
    emails = [path.read_text() for path in stack.emails()]
    return ([e for e in emails if "admin@mail.example" in e and "token=" in e] or [""])[-1]


def test_tokens_and_addresses_are_in_no_log_and_no_result(stack: Stack, admin: HTTPClient) -> None:
    admin.get("/user/reset/password/request/")
    admin.post("/user/reset/password/request/")
    assert admin.status == 202
    email = until(lambda: reset_email_to_admin(stack), lambda: f"a reset email\n{stack.logs()}")
    token = re.search(r"token=3D([\w.=\n-]+)|token=([\w.-]+)", email)
    tail = (token[1] or token[2]).replace("=\n", "")[-30:]  # type: ignore[index, union-attr]

    HTTPClient(stack.url).get(f"/user/reset/password/?token=garbage{tail}")

    logs = stack.logs()
    stored = stack.evaluate("[[r.result, r.traceback, r.task_args] for r in Result.objects.all()]")
    assert tail not in logs and tail not in str(stored)
    assert "@mail.example" not in logs + str(stored)
    assert "@refused.example" not in logs + str(stored)
