"""The indexes of the results can be created and dropped, also after an interrupted migration."""

import os
import subprocess
import sys

import psycopg
import pytest

from tests.support.servers import Postgres
from tests.support.stack import ROOT

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(200)]
NAMES = (
    "SELECT indexname FROM pg_indexes WHERE indexname LIKE 'tasks_admin_result_%' "
    "AND tablename = 'django_celery_results_taskresult'"
)
INVALID = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"


def test_on_postgresql(tmp_path):
    cluster = Postgres(tmp_path)
    environment = os.environ | {
        "DATABASE_URL": cluster.url,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
    }

    def migrate(*where: str) -> None:
        command = [sys.executable, "manage.py", "migrate", "-v0", *where]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)

    try:
        migrate()
        with psycopg.connect(cluster.url, autocommit=True) as database:
            all_of_them = set(database.execute(NAMES))
            assert len(all_of_them) == 7

            migrate("tasks_admin", "0001")
            assert not set(database.execute(NAMES))

            migrate()
            broken = "'tasks_admin_result_status'::regclass"
            database.execute(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = {broken}")
            database.execute("DELETE FROM django_migrations WHERE name = '0002_result_indexes'")
            migrate()
            assert set(database.execute(NAMES)) == all_of_them
            assert database.execute(INVALID).fetchone() == (0,)
    finally:
        cluster.stop()
