"""Indexes for the list of results, on django-celery-results' table.

On PostgreSQL they are built while others write. An interrupted run leaves an invalid index behind,
which is built anew by the next run.
"""

from typing import Any

from django.db import migrations

TABLE = "django_celery_results_taskresult"
NAME = "tasks_admin_result_"


def _quoted(column: str, start: int, vendor: str) -> str:
    text = f"SUBSTR({column}, {start}, 200)"
    if vendor == "postgresql":
        return f"SPLIT_PART({text}, '\"', 1)"
    return f"(SUBSTR({text}, 1, INSTR({text} || '\"', '\"') - 1))"


def indexes(vendor: str) -> dict[str, str]:
    """What to index, by name. SQLite's indexes end with the key by themselves."""
    queue, raised = _quoted("meta", 12, vendor), _quoted("result", 15, vendor)
    if vendor == "postgresql":
        return {
            "status": "(status, id)",
            "task": "(task_name, id)",
            "worker": "(worker, id)",
            "queue": f"({queue}, id)",
            "raised": f"({raised}, id) WHERE status = 'FAILURE'",
            "failed": "(task_name, id) WHERE status = 'FAILURE'",
            "subject": "(SUBSTR(task_args, 1, 40), id) "
            "WHERE task_name = 'tasks_admin.send_reset_email'",
        }
    return {
        "failed": "(task_name, status)",
        "queue": queue if queue.startswith("((") else f"({queue})",
        "raised": f"({raised})",
        "subject": "(task_name, (SUBSTR(task_args, 1, 40)))",
    }


def add(apps: Any, editor: Any) -> None:
    vendor = editor.connection.vendor
    concurrently = "CONCURRENTLY" if vendor == "postgresql" else ""
    for name, what in indexes(vendor).items():
        _drop_invalid(editor, NAME + name)
        editor.execute(f"CREATE INDEX {concurrently} IF NOT EXISTS {NAME}{name} ON {TABLE} {what}")


def _drop_invalid(editor: Any, name: str) -> None:
    if editor.connection.vendor != "postgresql":
        return
    with editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(%s) AND NOT indisvalid", [name]
        )
        if cursor.fetchone():
            editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


def remove(apps: Any, editor: Any) -> None:
    vendor = editor.connection.vendor
    concurrently = "CONCURRENTLY" if vendor == "postgresql" else ""
    for name in indexes(vendor):
        editor.execute(f"DROP INDEX {concurrently} IF EXISTS {NAME}{name}")


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("tasks_admin", "0001_initial"),
        ("django_celery_results", "0014_alter_taskresult_status"),
    ]

    operations = [migrations.RunPython(add, remove)]
