"""The time per page of the list of results, beside the stock list of django-celery-results.

`BENCH_ROWS` is the number of rows (1,000,000); each database is measured in its own process.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROWS = int(os.environ.get("BENCH_ROWS", "1_000_000"))
ROUNDS = 5
TABLE = "django_celery_results_taskresult"
#: A page of our list, and the most similar page of the stock list.
PAGES: list[tuple[str, dict[str, str], dict[str, str]]] = [
    ("first page", {}, {}),
    ("deep page", {"before": str(ROWS // 2)}, {"p": str(ROWS // 2 // 100)}),
    ("failed results", {"status": "FAILURE"}, {"status__exact": "FAILURE"}),
    (
        "failed results of a task",
        {"status": "FAILURE", "task": "tasks.task7"},
        {"status__exact": "FAILURE", "task_name__exact": "tasks.task7"},
    ),
    (
        "deep page of a worker",
        {"worker": "worker3@host", "before": str(ROWS // 2)},
        {"p": str(ROWS // 8 // 100), "q": "worker3"},
    ),
    ("search by id", {"q": f"bench-{ROWS // 3}"}, {"q": f"bench-{ROWS // 3}"}),
]
#: The numbers from 1 to `rows`, in the SQL of each database.
SERIES = {
    "postgresql": "SELECT n FROM generate_series(1, {rows}) AS n",
    "sqlite": "WITH RECURSIVE series(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series "
    "WHERE n < {rows}) SELECT n FROM series",
}
CREATED = {
    "postgresql": "now() - ({rows} - n) * interval '1 second'",
    "sqlite": "datetime('now', (n - {rows}) || ' seconds')",
}


def run() -> list[dict[str, Any]]:
    """Measure on SQLite and, where it is installed, on PostgreSQL."""
    found = _measured("SQLite", {})
    if list(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")):
        from tests.support.servers import Postgres

        server = Postgres()
        try:
            found += _measured("PostgreSQL", {"DATABASE_URL": server.url})
        finally:
            server.stop()
    return found


def _measured(name: str, environment: dict[str, str]) -> list[dict[str, Any]]:
    environment = os.environ | {"DATA_DIR": tempfile.mkdtemp()} | environment
    command = [sys.executable, "-m", "tests.bench.results"]
    output = subprocess.check_output(command, env=environment, timeout=3600)
    return [
        {
            "what": f"results, {what}, {ROWS:,} rows, {name}, beside django-celery-results",
            "unit": "ms", "rival": rival, "ours": ours, "ratio": rival / ours,
        }
        for what, rival, ours in json.loads(output)
    ]  # fmt: skip


def measure() -> list[tuple[str, float, float]]:
    """Fill the table, then open the same pages of both lists in turns; return milliseconds."""
    from django.contrib.admin import AdminSite
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django_celery_results.admin import TaskResultAdmin
    from django_celery_results.models import TaskResult

    from tasks_admin.admin.results.pages import ResultAdmin
    from tasks_admin.models import Result

    call_command("migrate", verbosity=0)
    fill()
    user, _made = get_user_model().objects.get_or_create(
        username="bench", defaults={"is_superuser": True, "is_staff": True, "is_active": True}
    )
    stock, ours = TaskResultAdmin(TaskResult, AdminSite()), ResultAdmin(Result, AdminSite())
    found = []
    for what, mine, theirs in PAGES:
        times = [(_time(stock, user, theirs), _time(ours, user, mine)) for _ in range(ROUNDS)]
        rivals, own = zip(*times, strict=True)
        found.append((what, min(rivals), min(own)))
    return found


def _time(admin: Any, user: Any, query: dict[str, str]) -> float:
    from django.contrib.admin.templatetags.admin_list import date_hierarchy
    from django.test import RequestFactory

    request = RequestFactory().get("/", query)
    request.user = user
    request.session = {}  # type: ignore[assignment]
    begun = time.perf_counter()
    changelist = admin.changelist_view(request).context_data["cl"]
    list(changelist.result_list)
    for spec in changelist.filter_specs:
        list(spec.choices(changelist))
    if drilled := date_hierarchy(changelist):
        list(drilled["choices"])
    return (time.perf_counter() - begun) * 1000


def fill() -> None:
    from django.db import connection

    vendor = connection.vendor
    series, created = SERIES[vendor].format(rows=ROWS), CREATED[vendor].format(rows=ROWS)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {TABLE} (task_id, task_name, task_args, task_kwargs, status, worker, "
            "content_type, content_encoding, result, date_created, date_started, date_done, meta) "
            "SELECT 'bench-' || n, 'tasks.task' || (n % 20), '[' || n || ']', '{}', "
            "CASE WHEN n % 10 = 7 THEN 'FAILURE' ELSE 'SUCCESS' END, "
            "'worker' || (n % 4) || '@host', 'application/json', 'utf-8', "
            "CASE WHEN n % 10 = 7 THEN '{\"exc_type\": \"Error' || (n % 30) || '\"}' "
            f'ELSE \'{{"outcome": "done"}}\' END, {created}, {created}, {created}, '
            f'\'{{"queue": "mail", "children": []}}\' FROM ({series}) AS numbers'
        )
        cursor.execute("VACUUM ANALYZE" if vendor == "postgresql" else "ANALYZE")


if __name__ == "__main__":
    os.environ.setdefault("SECRET_KEY", "only for measuring " * 4)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django

    django.setup()
    print(json.dumps(measure()))
