"""The migrations can be undone: `migrate tasks_admin zero` leaves the schema as it was."""

import contextlib
import os
import sqlite3

import psycopg
import pytest

from tests.support.shell import Shell

POSTGRESQL_SCHEMA = """
SELECT table_name, column_name, data_type, is_nullable, NULL FROM information_schema.columns
WHERE table_schema = 'public'
UNION ALL SELECT tablename, indexname, indexdef, NULL, NULL FROM pg_indexes
WHERE schemaname = 'public'
UNION ALL SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), NULL, NULL
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
"""
SQLITE_SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_master"


SETUP = """
import django; django.setup()
from django.core.management import call_command
"""


def assert_it_can_be_undone(environment, read_schema):
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "opsconsole.settings"} | environment
    with contextlib.closing(Shell(environment, SETUP)) as shell:

        def migrate(*arguments):
            shell.run(f"call_command('migrate', *{arguments!r}, verbosity=0)")

        for app in ("admin", "auth", "contenttypes", "sessions", "django_celery_results"):
            migrate(app)
        before = read_schema()

        migrate()
        assert {row for row in read_schema() - before if "tasks_admin" in str(row)}

        migrate("tasks_admin", "zero")
        assert read_schema() == before


def test_on_sqlite(tmp_path):
    def read_schema():
        with sqlite3.connect(tmp_path / "console.sqlite3") as database:
            return set(database.execute(SQLITE_SCHEMA))

    assert_it_can_be_undone({"DATA_DIR": str(tmp_path)}, read_schema)


@pytest.mark.postgres
def test_on_postgresql(tmp_path, empty_postgres_url):
    environment = {
        "DATA_DIR": str(tmp_path / "data"),
        "DATABASE_URL": empty_postgres_url,
        "SECRET_KEY": "only for tests " * 4,
    }

    def read_schema():
        with psycopg.connect(empty_postgres_url) as database:
            return set(database.execute(POSTGRESQL_SCHEMA))

    assert_it_can_be_undone(environment, read_schema)
