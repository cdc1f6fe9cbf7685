"""The response to requests while the database is unavailable."""

import sqlite3

import pytest
from django.db import connection

from tasks_admin.admin.middleware import DatabaseUnavailableMiddleware
from tests.support.factories import make_operation


@pytest.mark.django_db(transaction=True)
def test_a_request_while_the_database_is_locked_gets_503_and_changes_nothing(as_user, alice):
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite locks the whole database")
    operation, client = make_operation(1), as_user(alice)
    connection.ensure_connection()
    connection.connection.execute("PRAGMA busy_timeout = 200")
    other = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        page = client.post(f"/admin/tasks_admin/operation/{operation.pk}/pause/", {"reason": "r"})
        assert page.status_code == 503
        assert "Database unavailable" in page.content.decode()
        assert page["Retry-After"] == "5"
    finally:
        other.execute("ROLLBACK")
        other.close()
        connection.close()
    operation.refresh_from_db()
    assert operation.state == "running"


def test_other_exceptions_are_not_handled(rf):
    middleware = DatabaseUnavailableMiddleware(lambda request: None)

    assert middleware.process_exception(rf.get("/"), ValueError()) is None
