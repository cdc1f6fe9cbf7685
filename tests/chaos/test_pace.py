"""Pausing, rate limits and bulk retries, on real processes; at full size with `make chaos`."""

import os
import time

import pytest

from tests.support.fixtures import Prepare
from tests.support.scenario import Scenario, count_eligible, emails_by_recipient, store_failures
from tests.support.stack import Stack

COUNT = int(os.environ.get("CHAOS_USERS", "200"))
FULL = COUNT >= 10_000
pytestmark = [pytest.mark.stack, pytest.mark.timeout(1500)]


@pytest.fixture
def stack(console: Prepare) -> Stack:
    """A console on SQLite and the embedded broker, with many users."""
    return console("mail", "web", "worker", "dispatcher", users=COUNT)


def test_pause_stops_new_work_at_once_and_resume_continues(stack: Stack) -> None:
    count = count_eligible(stack)
    # Without a rate, the operation might end before it is paused.
    scenario = Scenario.send_reset_emails(stack, rate=max(600, count))
    scenario.after_emails(count // 10, lambda: scenario.post("pause", reason="Stop"))
    paused = "Operation.objects.get(verb='pause').created_at.timestamp()"
    started = "max(t.started_at.timestamp() for t in Target.objects.exclude(started_at=None))"

    time.sleep(4)
    assert stack.evaluate(started) - stack.evaluate(paused) < 2
    assert len(stack.emails()) < count

    scenario.post("resume", reason="Continue")
    scenario.post("throttle", reason="Faster", rate="")
    scenario.wait()
    assert scenario.check_invariants(count) == {"done": count}


def test_each_failed_email_is_retried_once_although_the_dispatcher_is_killed(stack: Stack) -> None:
    stack.shell.run("from tests.support import sample_data")
    users = stack.evaluate("list(sample_data.eligible_users().values_list('pk', flat=True))")
    store_failures(stack, "tasks_admin.send_reset_email", users, queue="mail")
    scenario = Scenario.retry_failures(stack)

    scenario.after_emails(len(users) * 2 // 5, lambda: scenario.restart("dispatcher"))
    scenario.wait()

    assert {state for _subject, state, *_ in scenario.targets()} == {"done"}
    emails = emails_by_recipient(stack)
    assert len(emails) == len(users) and set(emails.values()) == {1}


def test_four_workers_together_keep_the_rate(stack: Stack) -> None:
    for number in range(2, 5):
        stack.start(f"worker{number}")
    # The dispatcher publishes the messages of half a second at a time: a short measurement varies.
    rate, seconds, tolerance = (1200, 60, 0.05) if FULL else (600, 8, 0.2)
    scenario = Scenario.send_reset_emails(stack, rate=rate)
    scenario.after_emails(rate // 20, lambda: None)
    started, first = time.monotonic(), len(stack.emails())
    time.sleep(seconds)
    sent = (len(stack.emails()) - first) * 60 / (time.monotonic() - started)
    scenario.post("abort", reason="Measured")

    print(f"{sent:.0f} emails per minute at a rate of {rate}")
    assert sent == pytest.approx(rate, rel=tolerance)
