"""Rate limits: a number of attempts per window, counted for all processes."""

import threading
import time

import pytest
from django.db import connection

from tasks_admin.accounts import rate_limits
from tasks_admin.lib.errors import RateLimited
from tasks_admin.models import RateLimitCounter

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def two_per_minute(settings, monkeypatch):
    settings.TASKS_ADMIN_LIMITS = {"one": (2, 60), "other": (2, 60)}
    monkeypatch.setattr(time, "time", lambda: 1_000_000_020.0)


@pytest.fixture
def at(monkeypatch):
    """Set the clock."""
    return lambda moment: monkeypatch.setattr(time, "time", lambda: moment)


def test_attempts_up_to_the_limit_are_permitted():
    rate_limits.count_attempt("one", "x")
    rate_limits.count_attempt("one", "x")

    with pytest.raises(RateLimited):
        rate_limits.count_attempt("one", "x")
    with pytest.raises(RateLimited):
        rate_limits.count_attempt("one", "x")


def test_values_and_scopes_are_counted_separately():
    for scope, value in [("one", "x"), ("one", "y"), ("other", "x"), ("one", 1), ("one", "")]:
        rate_limits.count_attempt(scope, value)
        rate_limits.count_attempt(scope, value)


def test_the_next_window_starts_at_zero(at):
    for _ in range(2):
        rate_limits.count_attempt("one", "x")

    at(1_000_000_079.0)
    with pytest.raises(RateLimited):
        rate_limits.count_attempt("one", "x")
    at(1_000_000_080.0)

    rate_limits.count_attempt("one", "x")


@pytest.mark.parametrize("value", ["\x00", "a" * 1_000_000, "é\u2028", None, 2**200])
def test_any_value_can_be_counted(value):
    rate_limits.count_attempt("one", value)


def test_no_value_is_stored():
    rate_limits.count_attempt("one", "ann@mail.example")

    row = RateLimitCounter.objects.values_list().get()
    assert not any("ann" in str(column) for column in row)


def test_counters_of_past_windows_are_deleted(at):
    at(1_000_000_020.0)
    rate_limits.count_attempt("one", "old")
    assert rate_limits.delete_expired() == 1

    at(4_000_000_000.0)
    rate_limits.count_attempt("one", "new")
    assert rate_limits.delete_expired() == 0


def test_a_counter_deleted_by_another_process_does_no_harm(monkeypatch):
    original = RateLimitCounter.objects.bulk_create

    def create_and_delete(*args, **kwargs):
        original(*args, **kwargs)
        RateLimitCounter.objects.all().delete()

    monkeypatch.setattr(RateLimitCounter.objects, "bulk_create", create_and_delete)

    rate_limits.count_attempt("one", "x")


@pytest.mark.django_db(transaction=True)
def test_concurrent_attempts_are_all_counted():
    outcomes = []

    def work():
        try:
            rate_limits.count_attempt("one", "x")
            outcomes.append("permitted")
        except RateLimited:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(outcomes) == 12
    assert outcomes.count("permitted") <= 2
    assert RateLimitCounter.objects.get().count == 12
