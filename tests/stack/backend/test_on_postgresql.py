"""The tests of the backend that matter for SQL, on PostgreSQL too."""

import os
import subprocess
import sys

import pytest

from tests.servers import Postgres
from tests.stack import ROOT

FILES = [
    "backend",
    "backend_targets",
    "backend_rows",
    "backend_arguments",
    "failures",
    "failures_crowd",
    "causes",
    "housekeeping_causes",
]


@pytest.mark.postgres
@pytest.mark.skipif("DATABASE_URL" in os.environ, reason="that is what runs now")
def test_the_backend_on_postgresql(tmp_path):
    cluster = Postgres(tmp_path)
    environment = os.environ | {
        "DATABASE_URL": cluster.url,
        "DATA_DIR": str(tmp_path / "console"),
        "SECRET_KEY": "only for tests " * 4,
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    command += ["--basetemp", str(tmp_path / "tests"), *(f"tests/test_{name}.py" for name in FILES)]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
        )
    finally:
        cluster.stop()

    assert done.returncode == 0, done.stdout[-8000:]
