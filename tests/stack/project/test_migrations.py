"""The migrations can be undone: `migrate tasks_admin zero` leaves the schema as it was."""

import os
import sqlite3
import subprocess
import sys

import psycopg
import pytest

from opsconsole.environment import BASE_DIR
from tests.support.servers import Postgres

POSTGRESQL_SCHEMA = """
SELECT table_name, column_name, data_type, is_nullable, NULL FROM information_schema.columns
WHERE table_schema = 'public'
UNION ALL SELECT tablename, indexname, indexdef, NULL, NULL FROM pg_indexes
WHERE schemaname = 'public'
UNION ALL SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), NULL, NULL
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
"""
SQLITE_SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_master"


def migrate(environment: dict[str, str], *arguments: str) -> None:
    command = [sys.executable, "manage.py", "migrate", "-v0", *arguments]
    subprocess.run(command, cwd=BASE_DIR, env=os.environ | environment, check=True)


def assert_it_can_be_undone(environment, read_schema):
    for app in ("admin", "auth", "contenttypes", "sessions", "django_celery_results"):
        migrate(environment, app)
    before = read_schema()

    migrate(environment)
    assert {row for row in read_schema() - before if "tasks_admin" in str(row)}

    migrate(environment, "tasks_admin", "zero")
    assert read_schema() == before


def test_on_sqlite(tmp_path):
    def read_schema():
        with sqlite3.connect(tmp_path / "console.sqlite3") as database:
            return set(database.execute(SQLITE_SCHEMA))

    assert_it_can_be_undone({"DATA_DIR": str(tmp_path)}, read_schema)


@pytest.mark.postgres
def test_on_postgresql(tmp_path):
    cluster = Postgres(tmp_path)
    environment = {
        "DATA_DIR": str(tmp_path / "data"),
        "DATABASE_URL": cluster.url,
        "SECRET_KEY": "only for tests " * 4,
    }

    def read_schema():
        with psycopg.connect(cluster.url) as database:
            return set(database.execute(POSTGRESQL_SCHEMA))

    try:
        assert_it_can_be_undone(environment, read_schema)
    finally:
        cluster.stop()
