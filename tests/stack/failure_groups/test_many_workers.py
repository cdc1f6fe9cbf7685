"""Many workers record failures of the same groups at once: no deadlock, no lost count."""

import random
import threading

import pytest
from celery import shared_task
from celery.contrib.testing.worker import start_worker
from django.db import connections, transaction
from django.db.models import Sum

from opsconsole.celery import app
from tasks_admin.integrations.mail import smtp
from tasks_admin.models import Failure, FailureGroup, FailureGroupHour, Result
from tests.support.factories import run_concurrently
from tests.support.failing_tasks import FAILING_TASKS, raising, store_failure
from tests.support.stack import until

CLOSED = threading.Event()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("transactions", ["one failure each", "several failures each"])
def test_many_workers_do_not_deadlock(transactions):
    """Threads record failures of the same groups in different orders, from an empty table."""
    each, workers = 24, 8

    def work(number):
        order = list(range(each))
        random.Random(number).shuffle(order)
        if transactions == "one failure each":
            for step in order:
                store_failure("t", raising("abc"[step % 3]), 1)
            return
        with transaction.atomic():
            for step in sorted(order, key=lambda step: step % 3):
                store_failure("t", raising("abc"[step % 3]), 1)

    outcomes = run_concurrently(workers, work)

    assert outcomes == [None] * workers
    assert Failure.objects.count() == Result.objects.count() == each * workers
    assert list(FailureGroup.objects.values_list("count", flat=True)) == [each * workers // 3] * 3
    assert FailureGroupHour.objects.aggregate(n=Sum("count"))["n"] == each * workers


@pytest.mark.django_db(transaction=True)
def test_the_same_failure_from_many_workers_counts_once():
    run_concurrently(8, lambda _n: store_failure("t", raising(), 1, task_id="a"))

    assert FailureGroup.objects.get().count == FailureGroupHour.objects.get().count == 1


@shared_task(name="tests.fails_for")
def fails_for(which, number):
    FAILING_TASKS[which][1](number)


@shared_task(name="tests.close_connections_failing", ignore_result=True)
def close_connections():
    """Close the connections in the worker's thread, to which they belong."""
    smtp.close()
    connections.close_all()
    CLOSED.set()


def test_a_real_worker(broker, transactional_db):
    """Its tracebacks contain frames of Celery. With one task, two of the twelve groups are one."""
    with start_worker(app, perform_ping_check=False, queues=["celery"], loglevel="critical"):
        for number in range(36):
            fails_for.delay(number % 12, number)
        until(lambda: Failure.objects.count() == 36, "all failed")
        CLOSED.clear()
        close_connections.delay()
        assert CLOSED.wait(20)

    assert sorted(FailureGroup.objects.values_list("count", flat=True)) == [3] * 10 + [6]
    assert {group.location.partition(":")[0] for group in FailureGroup.objects.all()} == {
        "tests.support.failing_tasks"
    }
