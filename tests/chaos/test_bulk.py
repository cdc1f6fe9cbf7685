"""Very many tasks retried, and paused: hundreds here, as many as it takes with `make chaos`."""

import os
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chaos.test_kills import prepare
from tests.host.executions import Executions, make_host_stack, store_failed_results
from tests.support.http_client import HTTPClient
from tests.support.scenario import PASSWORD, Scenario
from tests.support.stack import Stack, until

RETRIED = int(os.environ.get("CHAOS_RETRIED", "600"))
PAUSED = int(os.environ.get("CHAOS_PAUSED", "600"))
#: Seconds that anything may take that grows with the number.
PATIENCE = 120 + max(RETRIED, PAUSED) / 40
FAILED = "/admin/tasks_admin/result/?status=FAILURE"
pytestmark = [pytest.mark.stack, pytest.mark.timeout(PATIENCE * 3)]


@pytest.fixture
def project(tmp_path: Any) -> Iterator[tuple[Stack, Executions]]:
    """A project with the console on a laptop's parts, everything running."""
    stack, marks = make_host_stack(tmp_path)
    try:
        prepare(stack, 1)
        stack.start("broker", "web", "worker", "dispatcher")
        stack.ready()
        yield stack, marks
    finally:
        stack.close()


def retry_all(stack: Stack, count: int) -> Scenario:
    """Let so many tasks have failed, select all of them across pages, and retry them."""
    store_failed_results(stack, count)
    visitor = HTTPClient(stack.url)
    visitor.sign_in("admin", PASSWORD)
    visitor.run_action(FAILED, "retry_failed", "All again", select_across=1, _selected_action=1)
    return Scenario(stack, visitor)


def reach(going: Scenario, marks: Executions, count: int) -> None:
    """Wait until so many tasks were executed."""
    until(lambda: len(marks) >= count, lambda: f"{count} marks\n{going.stack.logs()}", PATIENCE)


def outcomes(going: Scenario) -> dict[str, int]:
    """The targets by state, counted by the database."""
    return dict(going.stack.evaluate(f"dict(Operation.objects.get(pk={going.key}).counts())"))


def executed_once(marks: Executions, count: int) -> bool:
    """Whether each task was executed, and none twice: to the byte."""
    numbers = marks.numbers()
    return set(numbers) == set(range(count)) and set(numbers.values()) == {1}


def test_all_are_retried_once_though_the_dispatcher_is_killed(project: Any) -> None:
    stack, marks = project
    going = retry_all(stack, RETRIED)
    begun = time.monotonic()

    reach(going, marks, RETRIED * 2 // 5)
    stack.kill("dispatcher")
    stack.start("dispatcher")
    going.wait(PATIENCE)

    print(f"{RETRIED} retried in {time.monotonic() - begun:.0f} s, {len(marks)} executions")
    assert outcomes(going) == {"done": RETRIED}
    assert executed_once(marks, RETRIED), (len(marks), marks.numbers().most_common(3))


def test_pause_holds_what_waits_and_resume_goes_on_where_it_was(project: Any) -> None:
    stack, marks = project
    going = retry_all(stack, PAUSED)
    page = re.search(r"/admin/tasks_admin/operation/\d+/", going.visitor.current_url)
    assert page
    reach(going, marks, PAUSED // 10)

    begun = time.monotonic()
    going.visitor.post(f"{page[0]}pause/", reason="Stop")
    answered = time.monotonic() - begun
    time.sleep(max(0, 2 - answered))
    then = len(marks)
    time.sleep(4)
    print(f"paused in {answered:.2f} s at {then} of {PAUSED}")
    assert len(marks) == then < PAUSED, "something began two seconds after the click and later"

    going.visitor.get(page[0])
    going.visitor.post(f"{page[0]}resume/", reason="Go on")
    going.wait(PATIENCE)
    assert outcomes(going) == {"done": PAUSED}
    assert executed_once(marks, PAUSED), (len(marks), marks.numbers().most_common(3))
