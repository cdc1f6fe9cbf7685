"""Insisting: a database that is away for a moment loses nothing."""

import pytest
from django.contrib.auth.models import User
from django.db import InterfaceError, OperationalError, connection

from tasks_admin.integrations import database


def failing(times: int, error: type[Exception] = OperationalError):
    """An act that works after it failed so many times."""
    left = [times]

    def act() -> str:
        if left[0]:
            left[0] -= 1
            raise error("the server closed the connection")
        return f"{User.objects.count()} users"

    return act


@pytest.mark.django_db(transaction=True)
class TestInsist:
    @pytest.mark.parametrize("error", database.UNAVAILABLE_ERRORS)
    def test_it_tries_until_the_database_answers(self, error):
        assert database.retry_until_available(failing(3, error)) == "0 users"

    def test_it_gives_up_in_time_with_the_databases_own_error(self):
        with pytest.raises(OperationalError):
            database.retry_until_available(failing(1000), timeout=0.3)

    def test_it_does_not_repeat_what_is_wrong_in_itself(self):
        with pytest.raises(ValueError, match="wrong"):
            database.retry_until_available(lambda: int("wrong"))

    def test_it_tries_on_a_fresh_connection(self):
        User.objects.count()
        first = connection.connection

        database.retry_until_available(failing(1, InterfaceError))

        assert connection.connection is not first


@pytest.mark.django_db
def test_inside_a_transaction_there_is_nothing_to_insist_on():
    with pytest.raises(OperationalError):
        database.retry_until_available(failing(1))
