"""Statements are retried until the database is available."""

import pytest
from django.contrib.auth.models import User
from django.db import InterfaceError, OperationalError, connection

from tasks_admin.integrations import database


def failing(times: int, error: type[Exception] = OperationalError):
    """A function that succeeds after it failed so many times."""
    left = [times]

    def function() -> str:
        if left[0]:
            left[0] -= 1
            raise error("the server closed the connection")
        return f"{User.objects.count()} users"

    return function


@pytest.mark.django_db(transaction=True)
class TestRetry:
    @pytest.mark.parametrize("error", database.UNAVAILABLE_ERRORS)
    def test_until_the_database_is_available(self, error):
        assert database.retry_until_available(failing(3, error)) == "0 users"

    def test_error_of_the_database_after_the_timeout(self):
        with pytest.raises(OperationalError):
            database.retry_until_available(failing(1000), timeout=0.3)

    def test_not_after_other_errors(self):
        with pytest.raises(ValueError, match="wrong"):
            database.retry_until_available(lambda: int("wrong"))

    def test_on_a_new_connection(self):
        User.objects.count()
        first = connection.connection

        database.retry_until_available(failing(1, InterfaceError))

        assert connection.connection is not first


@pytest.mark.django_db
def test_no_retry_inside_a_transaction():
    with pytest.raises(OperationalError):
        database.retry_until_available(failing(1))
