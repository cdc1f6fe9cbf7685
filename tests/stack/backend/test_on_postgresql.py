"""The tests of the backend that matter for SQL, on PostgreSQL too."""

import os
import subprocess
import sys

import pytest

from tests.support.stack import ROOT

FILES = [
    "integration/backend/test_backend",
    "integration/backend/test_targets",
    "integration/backend/test_rows",
    "integration/backend/test_chords",
    "integration/backend/test_result_meta",
    "integration/backend/test_arguments",
    "integration/failure_groups/test_recording",
    "stack/failure_groups/test_many_workers",
    "integration/failure_groups/test_actions",
    "integration/dispatcher/test_housekeeping_failures",
    "integration/models/test_dialects",
]


@pytest.mark.postgres
@pytest.mark.skipif("DATABASE_URL" in os.environ, reason="the tests run on that database already")
def test_the_backend_on_postgresql(tmp_path, empty_postgres_url):
    environment = os.environ | {
        "DATABASE_URL": empty_postgres_url,
        "DATA_DIR": str(tmp_path / "console"),
        "SECRET_KEY": "only for tests " * 4,
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    command += ["--basetemp", str(tmp_path / "tests"), *(f"tests/{name}.py" for name in FILES)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )

    assert done.returncode == 0, done.stdout[-8000:]
