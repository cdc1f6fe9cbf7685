"""The indexes of the results can be created and dropped, also after an interrupted migration."""

import contextlib
import os

import psycopg
import pytest

from tasks_admin.models.dialects import DIALECTS
from tests.support.shell import Shell

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(200)]
NAMES = (
    "SELECT indexname FROM pg_indexes WHERE indexname LIKE 'tasks_admin_result_%' "
    "AND tablename = 'django_celery_results_taskresult'"
)
DECLARED = DIALECTS["postgresql"].result_indexes(queue="meta", exception="result")
AFTER_THE_FIRST = "app = 'tasks_admin' AND name > '0002'"
INVALID = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"


SETUP = """
import django; django.setup()
from django.core.management import call_command
"""


def test_on_postgresql(empty_postgres_url):
    environment = os.environ | {
        "DATABASE_URL": empty_postgres_url,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
    }
    with (
        contextlib.closing(Shell(environment, SETUP)) as shell,
        psycopg.connect(empty_postgres_url, autocommit=True) as database,
    ):

        def migrate(*arguments: str) -> None:
            shell.run(f"call_command('migrate', *{arguments!r}, verbosity=0)")

        migrate()
        all_indexes = set(database.execute(NAMES))
        assert len(all_indexes) == len(DECLARED)

        migrate("tasks_admin", "0001")
        assert not set(database.execute(NAMES))

        migrate()
        invalid = "'tasks_admin_result_status'::regclass"
        database.execute(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = {invalid}")
        database.execute(f"DELETE FROM django_migrations WHERE {AFTER_THE_FIRST}")
        migrate()
        assert set(database.execute(NAMES)) == all_indexes
        assert database.execute(INVALID).fetchone() == (0,)
