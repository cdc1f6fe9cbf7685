"""Pausing, pacing and retrying in bulk, on real processes: short, or full with `make chaos`."""

import os
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chaos.test_kills import eligible, prepare
from tests.support.http_client import HTTPClient
from tests.support.scenario import PASSWORD, Scenario, emails_by_recipient
from tests.support.stack import Stack

COUNT = int(os.environ.get("CHAOS_USERS", "200"))
FULL = COUNT >= 10_000
pytestmark = [pytest.mark.stack, pytest.mark.timeout(1500)]

FAILURES = """
from django.contrib.auth.models import User
from tasks_admin.models import Result
users = User.objects.filter(username__startswith="demo-0", is_active=True).exclude(email="")
users = users.exclude(password__startswith="!").values_list("pk", flat=True)
Result.objects.bulk_create(
    (Result(task_id=f"old-{pk}", task_name="tasks_admin.send_reset_email", task_args=f"[{pk}]",
            task_kwargs="{}", status="FAILURE", content_type="application/json",
            content_encoding="utf-8", result='{"exc_type": "MailRefused"}',
            meta='{"queue": "mail"}') for pk in users),
    batch_size=5000,
)
"""


@pytest.fixture
def laptop(tmp_path: Any) -> Iterator[Stack]:
    """A console on a laptop's parts, with many users and everything running."""
    stack = Stack(tmp_path)
    try:
        prepare(stack, COUNT)
        stack.start("broker", "mail", "web", "worker", "dispatcher")
        stack.ready()
        yield stack
    finally:
        stack.close()


def test_pause_stops_new_work_at_once_and_resume_goes_on(laptop: Stack) -> None:
    count = eligible(laptop)
    going = Scenario.begin(laptop, rate=max(600, count))  # or it may be over before the click
    page = going.visitor
    going.at(count // 10, lambda: page.post(f"{_path(page)}pause/", reason="Stop"))
    paused = "Operation.objects.get(verb='pause').created_at.timestamp()"
    begun = "max(t.started_at.timestamp() for t in Target.objects.exclude(started_at=None))"

    time.sleep(4)
    assert laptop.evaluate(begun) - laptop.evaluate(paused) < 2
    assert len(laptop.emails()) < count

    page.get(_path(page))
    page.post(f"{_path(page)}resume/", reason="Go on")
    page.get(_path(page))
    page.post(f"{_path(page)}throttle/", reason="Faster", rate="")
    going.wait()
    assert going.check(count) == {"done": count}


def test_every_failure_is_retried_once_though_the_dispatcher_is_killed(laptop: Stack) -> None:
    laptop.manage("shell", "--verbosity", "0", "-c", FAILURES)
    visitor = HTTPClient(laptop.url)
    visitor.sign_in("admin", PASSWORD)
    path = "/admin/tasks_admin/result/?status=FAILURE"
    visitor.run_action(path, "retry_failed", "All again", select_across=1, _selected_action=1)
    going = Scenario(laptop, visitor)
    count = eligible(laptop)

    def kill_dispatcher() -> None:
        laptop.kill("dispatcher")
        laptop.start("dispatcher")

    going.at(count * 2 // 5, kill_dispatcher)
    going.wait()

    assert {state for _subject, state, *_ in going.targets()} == {"done"}
    mails = emails_by_recipient(laptop)
    assert len(mails) == count and set(mails.values()) == {1}


def test_the_rate_is_kept_over_four_workers(laptop: Stack) -> None:
    for number in range(2, 5):
        laptop.start(f"worker{number}")
    # Half a second's worth goes out at a time: that blurs a short look.
    rate, seconds, blur = (1200, 60, 0.05) if FULL else (600, 8, 0.2)
    going = Scenario.begin(laptop, rate=rate)
    going.at(rate // 20, lambda: None)
    begun, first = time.monotonic(), len(laptop.emails())
    time.sleep(seconds)
    sent = (len(laptop.emails()) - first) * 60 / (time.monotonic() - begun)
    going.visitor.post(f"{_path(going.visitor)}abort/", reason="Enough")

    print(f"{sent:.0f} a minute, asked for {rate}")
    assert sent == pytest.approx(rate, rel=blur)


def _path(visitor: HTTPClient) -> str:
    found = re.search(r"/admin/tasks_admin/operation/\d+/", visitor.current_url)
    assert found
    return found[0]
