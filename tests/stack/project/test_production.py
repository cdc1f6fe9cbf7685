"""The main job without a browser: on the parts of a laptop, and on those of a production site."""

import contextlib
import re
from collections import Counter
from collections.abc import Iterator
from email import message_from_bytes, policy
from typing import Any

import pytest

from tests.support.http_client import HTTPClient
from tests.support.servers import Postgres, RabbitMQ
from tests.support.stack import Stack, until

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module", params=["sqlite-valkey", "postgres-rabbitmq"])
def stack(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A console with a hundred users; the servers are real, and this module's own."""
    environment = {"OPSCONSOLE_DEMO": "1"}
    with contextlib.ExitStack() as ends:
        if request.param == "postgres-rabbitmq":
            postgres = Postgres(tmp_path_factory.mktemp("postgres"))
            ends.callback(postgres.stop)
            rabbitmq = RabbitMQ(tmp_path_factory.mktemp("rabbitmq"))
            ends.callback(rabbitmq.close)
            environment |= {
                "DATABASE_URL": postgres.url,
                "CELERY_BROKER_URL": rabbitmq.url,
                "SECRET_KEY": "a secret key for tests, long enough to please everybody",
            }
        stack = Stack(tmp_path_factory.mktemp("stack"), **environment)
        ends.callback(stack.close)
        stack.manage("migrate", "--verbosity", "0")
        stack.manage("collectstatic", "--noinput", "--verbosity", "0")
        stack.manage("load_demo", "--users", "100")
        who = ("--username", "admin", "--email", "admin@mail.example")
        stack.manage("createsuperuser", "--noinput", *who)
        names = ["mail", "web", "worker", "dispatcher"]
        stack.start(*([] if "CELERY_BROKER_URL" in environment else ["broker"]), *names)
        stack.ready()
        yield stack


@pytest.fixture
def admin(stack: Stack) -> HTTPClient:
    """The superuser, signed in."""
    visitor = HTTPClient(stack.url)
    visitor.sign_in("admin", "a password for tests")
    return visitor


def finished(stack: Stack, visitor: HTTPClient) -> Counter[str]:
    """Wait until the operation that the visitor looks at has ended; return its tally."""
    key = int(re.search(r"/operation/(\d+)/", visitor.current_url)[1])  # type: ignore[index]
    tally = f"[o.tally for o in Operation.objects.filter(pk={key}).exclude(finished_at=None)]"
    return Counter(
        until(lambda: stack.evaluate(tally), lambda: f"operation {key} ends\n{stack.logs()}")[0]
    )


def recipients(stack: Stack, name: str) -> Counter[str]:
    """Who was mailed, how often, of those whose address begins so."""
    mails = (message_from_bytes(p.read_bytes(), policy=policy.default) for p in stack.emails())
    return Counter(to for mail in mails if (to := str(mail["To"])).startswith(name))


def test_everybody_who_matches_is_mailed_once_and_failures_are_retried(
    stack: Stack, admin: HTTPClient
) -> None:
    users = "/admin/auth/user/?q=demo-0"
    page = admin.run_action(
        users, "send_reset_email", "The yearly change", select_across=1, _selected_action=1
    )
    assert "Send reset emails" in page
    tally = finished(stack, admin)

    eligible = stack.evaluate(
        "User.objects.filter(username__startswith='demo-0', is_active=True)"
        ".exclude(email='').exclude(password__startswith='!').count()"
    )
    refused = stack.evaluate(
        "User.objects.filter(username__startswith='demo-0')"
        ".filter(email__endswith='refused.example').count()"
    )
    assert tally == {"done": eligible - refused, "failed": refused}
    sent = recipients(stack, "demo-0")
    assert len(sent) == eligible - refused and set(sent.values()) == {1}

    results = "/admin/tasks_admin/result/?status=FAILURE"
    admin.run_action(results, "retry_failed", "Once more", select_across=1, _selected_action=1)
    assert finished(stack, admin) == {"failed": refused}
    assert recipients(stack, "demo-0") == sent

    admin.get(results)
    admin.post(results, action="retry_failed", index=0, select_across=1, _selected_action=1)
    assert "was retried already" in admin.text


def test_a_program_without_django_can_queue_a_reset(stack: Stack) -> None:
    stack.evaluate(
        "User.objects.get_or_create(username='dave',"
        " defaults={'email': 'dave@mail.example', 'password': 'md5$x$y'})[0].pk"
    )
    code = (
        "from celery import Celery; import sys;"
        "Celery(broker=sys.argv[1]).send_task('tasks_admin.send_reset_email', [int(sys.argv[2])])"
    )
    broker = stack.manage(
        "shell", "-v0", "-c", "from django.conf import settings as s; print(s.CELERY_BROKER_URL)"
    )
    pk = stack.evaluate("User.objects.get(username='dave').pk")
    done = stack.run("sender", "python", "-c", code, broker.split()[-1], str(pk))

    assert done.wait(60) == 0
    until(lambda: recipients(stack, "dave").total() == 1, lambda: f"a mail to dave\n{stack.logs()}")


def link_for_admin(stack: Stack) -> str:
    """The newest mail to the admin with a link in it; summaries have none."""
    mails = [path.read_text() for path in stack.emails()]
    return ([m for m in mails if "admin@mail.example" in m and "token=" in m] or [""])[-1]


def test_nothing_secret_is_kept_anywhere_but_in_the_mail(stack: Stack, admin: HTTPClient) -> None:
    admin.get("/user/reset/password/request/")
    admin.post("/user/reset/password/request/")
    assert admin.status == 202
    mail = until(lambda: link_for_admin(stack), lambda: f"a mail\n{stack.logs()}")
    token = re.search(r"token=3D([\w.=\n-]+)|token=([\w.-]+)", mail)
    tail = (token[1] or token[2]).replace("=\n", "")[-30:]  # type: ignore[index, union-attr]

    HTTPClient(stack.url).get(f"/user/reset/password/?token=garbage{tail}")

    logs = stack.logs()
    kept = stack.evaluate("[[r.result, r.traceback, r.task_args] for r in Result.objects.all()]")
    assert tail not in logs and tail not in str(kept)
    assert "@mail.example" not in logs + str(kept)
    assert "@refused.example" not in logs + str(kept)
