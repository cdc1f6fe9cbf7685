"""Exports of results as CSV, XLSX and JSON: all matching rows, masked, in constant memory."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from openpyxl import load_workbook

from tasks_admin.admin.exchange import resources
from tasks_admin.lib.masks import MASK
from tasks_admin.models import Result
from tests.support.factories import make_result
from tests.support.shared import copy_sqlite
from tests.support.stack import ROOT

ROWS = int(os.environ.get("EXPORT_ROWS", "6000"))
EXPORT = "/admin/tasks_admin/result/export/"
CSV, XLSX, JSON = "0", "1", "2"
COLUMNS = ["task_id", "args", "kwargs"]
SEED = """
import django; django.setup()
from django.db import connection
from tests.support.factories import make_result
row = make_result("SUCCESS", args=["x" * 200], kwargs={{"token": "hunter2"}})
names = [field.column for field in row._meta.concrete_fields]
columns = ", ".join(name for name in names if name not in ("id", "task_id"))
connection.cursor().execute(
    f"INSERT INTO django_celery_results_taskresult (task_id, {{columns}}) "
    "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) "
    f"SELECT 'task-' || i, {{columns}} FROM n, django_celery_results_taskresult"
)
"""
MEASURE = """
import django; django.setup()
import re, time
from django.contrib.auth.models import User
from django.test import Client
from django.test.utils import setup_test_environment
setup_test_environment()
client = Client()
client.force_login(User.objects.create_superuser("boss" + str(time.time())))
columns = ["task_id", "status", "queued", "finished", "args", "kwargs"]
begin = time.monotonic()
response = client.post("{path}", {{"format": "{form}", "columns": columns}})
lines = size = leaks = 0
for chunk in response.streaming_content:
    lines, size = lines + chunk.count(b"task-"), size + len(chunk)
    leaks += b"hunter2" in chunk
# Not `ru_maxrss`: it includes the memory of the parent process before exec.
peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
print(lines, leaks, peak, size, time.monotonic() - begin)
"""


@pytest.fixture
def client(as_user: Callable[[User], Client], alice: User) -> Client:
    """The client of a superuser, signed in."""
    return as_user(alice)


def exported(browser: Client, form: str, query: str = "") -> list[dict[str, Any]]:
    """The file's rows, by column."""
    response = browser.post(f"{EXPORT}{query}", {"format": form, "columns": COLUMNS})
    data = response.getvalue()
    if form == JSON:
        assert response.headers["Content-Disposition"].endswith('.json"')
        return list(json.loads(data))
    if form == XLSX:
        header, *rows = load_workbook(io.BytesIO(data)).active.values
    else:
        import csv

        header, *rows = csv.reader(io.StringIO(data.decode(), newline=""))
    return [dict(zip(header, row, strict=True)) for row in rows]


@pytest.mark.django_db
@pytest.mark.parametrize("form", [CSV, XLSX, JSON])
def test_every_format_is_masked(form: str, client: Client) -> None:
    make_result(args=[{"password": ["hunter2"]}, "b"], kwargs={"url": "redis://u:hunter2@h/0"})
    make_result(task_args="\"{'token': 'hunter2', 'x': '...'}\"", task_kwargs="{")

    lossy, exact = exported(client, form)

    assert "hunter2" not in str([lossy, exact])
    assert json.loads(exact["args"]) == [{"password": MASK}, "b"]
    assert json.loads(exact["kwargs"]) == {"url": f"redis://u:{MASK}@h/0"}
    assert (lossy["kwargs"], "..." in lossy["args"]) == ("{", True)


@pytest.mark.django_db
def test_json_is_not_escaped(client: Client) -> None:
    make_result(task_id="=1+1", worker="-w", status="STARTED")

    columns = ["task_id", "worker", "started", "finished", "queued"]
    response = client.post(EXPORT, {"format": JSON, "columns": columns})

    (row,) = json.loads(response.getvalue())
    assert row | {"queued": ""} == {
        "task_id": "=1+1", "worker": "-w", "started": None, "finished": None, "queued": "",
    }  # fmt: skip
    assert row["queued"].startswith("20")


@pytest.mark.django_db
def test_an_empty_export_is_a_list(client: Client) -> None:
    assert exported(client, JSON) == []


@pytest.mark.django_db
@pytest.mark.parametrize("form", [CSV, JSON])
def test_all_matching_rows_beyond_the_limits_of_page_batch_and_search(
    form: str, client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.TASKS_ADMIN_SEARCH_BOUND = 5
    monkeypatch.setattr(resources, "BATCH_SIZE", 7)
    failed = [make_result(worker="w1") for _ in range(60)]
    make_result("SUCCESS", worker="w1"), make_result(worker="w2")

    found = exported(client, form, "?status=FAILURE&worker=w1")

    assert [row["task_id"] for row in found] == [row.task_id for row in reversed(failed)]


@pytest.mark.django_db
def test_a_batch_is_one_statement(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "BATCH_SIZE", 10)
    for _ in range(25):
        make_result(traceback="x" * 100_000)

    with CaptureQueriesContext(connection) as queries:
        assert len(exported(client, CSV)) == Result.objects.count()

    selects = [query["sql"] for query in queries if "LIMIT 10" in query["sql"]]
    assert len(selects) == 4
    assert not any("traceback" in sql or "OFFSET" in sql for sql in selects)


@pytest.fixture(params=["sqlite", "postgresql"])
def environment(request: Any, tmp_path: Path, shared_dir: Path) -> dict[str, str]:
    """The environment of an installation on each of the databases."""
    known = os.environ | {"DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "tests.settings"}
    if request.param == "sqlite":
        copy_sqlite(shared_dir, tmp_path / "console.sqlite3")
        known.pop("DATABASE_URL", None)
        return known
    url = request.getfixturevalue("postgres_url")
    return known | {"DATABASE_URL": url, "CELERY_BROKER_URL": "redis://127.0.0.1:1/0"}


def run(environment: dict[str, str], *words: str) -> str:
    command = [sys.executable, *words]
    return subprocess.check_output(command, cwd=ROOT, env=environment, text=True, timeout=3000)


@pytest.mark.timeout(3000)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_does_not_grow_with_the_number_of_rows(environment: dict[str, str]) -> None:
    run(environment, "-c", SEED.format(rows=ROWS + 1))

    def measure(query: str) -> tuple[int, int, float, float, float]:
        code = MEASURE.format(path=EXPORT + query, form=CSV)
        lines, leaks, *figures = run(environment, "-c", code).split()[-5:]
        return int(lines), int(leaks), *map(float, figures)  # type: ignore[return-value]

    _lines, _leaks, before, *_ = measure("?q=nothing")
    lines, leaks, peak, size, took = measure("")

    print(f"{lines} rows, {size / 1e6:.0f} MB, {took:.0f} s; {before:.0f} → {peak:.0f} MB")
    assert (lines, leaks) == (ROWS, 0)
    assert peak < min(200, before + 40)
