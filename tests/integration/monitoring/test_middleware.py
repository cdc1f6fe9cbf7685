"""A page says so when the database is away."""

import sqlite3

import pytest
from django.db import connection

from tests.support.factories import make_operation


@pytest.mark.django_db(transaction=True)
def test_a_click_while_the_database_is_locked_says_so_and_changes_nothing(as_user, alice):
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite is locked as a whole")
    operation, client = make_operation(1), as_user(alice)
    connection.ensure_connection()
    connection.connection.execute("PRAGMA busy_timeout = 200")
    other = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        page = client.post(f"/admin/tasks_admin/operation/{operation.pk}/pause/", {"reason": "r"})
        assert page.status_code == 503
        assert "does not answer" in page.content.decode()
        assert page["Retry-After"] == "5"
    finally:
        other.execute("ROLLBACK")
        other.close()
        connection.close()
    operation.refresh_from_db()
    assert operation.state == "running"


def test_any_other_error_is_an_error(rf):
    from tasks_admin.admin.middleware import DatabaseUnavailableMiddleware

    assert (
        DatabaseUnavailableMiddleware(lambda request: None).process_exception(
            rf.get("/"), ValueError()
        )
        is None
    )
