"""Indexes for the list of results, on django-celery-results' table.

On PostgreSQL they are created without locking writers. The next run replaces an invalid index that
an interrupted run left behind.
"""

from typing import Any

from django.db import migrations

from tasks_admin.models.dialects import dialect_of
from tasks_admin.models.result_meta import QUEUE_START
from tasks_admin.models.stored_exceptions import CLASS_START

TABLE = "django_celery_results_taskresult"
PREFIX = "tasks_admin_result_"


def indexes(editor: Any) -> dict[str, str]:
    """What follows the table in CREATE INDEX, by the index's name."""
    dialect = dialect_of(editor.connection)
    found = dialect.result_indexes(
        queue=dialect.quoted_text("meta", QUEUE_START),
        exception=dialect.quoted_text("result", CLASS_START),
    )
    return {f"{PREFIX}{name}": columns for name, columns in found.items()}


def create(apps: Any, editor: Any) -> None:
    for name, columns in indexes(editor).items():
        dialect_of(editor.connection).create_index(editor, name=name, table=TABLE, columns=columns)


def drop(apps: Any, editor: Any) -> None:
    for name in indexes(editor):
        dialect_of(editor.connection).drop_index(editor, name=name, table=TABLE)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("tasks_admin", "0001_initial"),
        ("django_celery_results", "0014_alter_taskresult_status"),
    ]

    operations = [migrations.RunPython(create, drop)]
