"""Bulk retries, paused and with a killed dispatcher: hundreds here, more with `make chaos`."""

import os
import time

import pytest

from tests.host.executions import Executions
from tests.support.console import Console
from tests.support.fixtures import Prepare
from tests.support.scenario import Scenario, store_failures
from tests.support.stack import Stack, until

RETRIED = int(os.environ.get("CHAOS_RETRIED", "600"))
PAUSED = int(os.environ.get("CHAOS_PAUSED", "600"))
#: Seconds for anything whose duration grows with these numbers.
TIMEOUT = 120 + max(RETRIED, PAUSED) / 40
#: Seconds without an execution after which the workers have stopped, and which are then watched.
QUIET, OBSERVED = 1, 3
pytestmark = [pytest.mark.stack, pytest.mark.timeout(TIMEOUT * 3)]


@pytest.fixture
def stack(console: Prepare) -> Stack:
    """A console on SQLite and the embedded broker."""
    return console("mail", "web", "worker", "dispatcher")


@pytest.fixture
def executions(shared_console: Console) -> Executions:
    """The executions of the task `host.record`."""
    return shared_console.executions


def retry_all(stack: Stack, count: int) -> Scenario:
    """Store so many failed results, select all of them across pages, and retry them."""
    store_failures(stack, "host.record", range(count), queue="celery")
    return Scenario.retry_failures(stack)


def wait_for(executions: Executions, count: int, stack: Stack) -> None:
    """Wait until so many tasks were executed."""
    until(lambda: len(executions) >= count, lambda: f"{count} executions\n{stack.logs()}", TIMEOUT)


def stopped(executions: Executions) -> int:
    """Return the number of executions if it does not change for a while, or 0."""
    before = len(executions)
    time.sleep(QUIET)
    return before if len(executions) == before else 0


def assert_executed_once(executions: Executions, count: int) -> None:
    """Assert that each task was executed exactly once."""
    counts = executions.counts()
    assert set(counts) == set(range(count)), len(executions)
    assert set(counts.values()) == {1}, counts.most_common(3)


def test_each_failure_is_retried_once_although_the_dispatcher_is_killed(
    stack: Stack, executions: Executions
) -> None:
    scenario = retry_all(stack, RETRIED)
    started = time.monotonic()

    wait_for(executions, RETRIED * 2 // 5, stack)
    scenario.restart("dispatcher")
    scenario.wait(TIMEOUT)

    seconds = time.monotonic() - started
    print(f"{RETRIED} retried in {seconds:.0f} s, {len(executions)} executions")
    assert scenario.count_by_state() == {"done": RETRIED}
    assert_executed_once(executions, RETRIED)


def test_a_paused_operation_starts_no_task_until_it_is_resumed(
    stack: Stack, executions: Executions
) -> None:
    scenario = retry_all(stack, PAUSED)
    wait_for(executions, PAUSED // 10, stack)

    scenario.post("pause", reason="Stop")
    started = time.monotonic()
    executed = until(lambda: stopped(executions), "the end of the tasks that had started")
    print(f"stopped in {time.monotonic() - started - QUIET:.2f} s after {executed} of {PAUSED}")
    time.sleep(OBSERVED)
    assert len(executions) == executed < PAUSED, "a task started after the pause"

    scenario.post("resume", reason="Continue")
    scenario.wait(TIMEOUT)
    assert scenario.count_by_state() == {"done": PAUSED}
    assert_executed_once(executions, PAUSED)
