"""The column `meta` of a result: its text is built, changed and read here only.

The text is one JSON object: the queue, why the arguments are not exact, the parent and the root,
then what the project and Celery's retries added, and the children. The queue comes first, where an
index reads it at a fixed position. The children come last, where one UPDATE can add them without
reading the row. Both rely on the separators of `celery_json`, not on those of kombu.

django-celery-results reads and writes the same column. It needs `children` only.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from tasks_admin.lib import celery_json

#: How the text begins, and the position (from 1, as SQL counts) of the queue's name in it.
QUEUE_PREFIX = '{"queue": "'
QUEUE_START = len(QUEUE_PREFIX) + 1
#: How the text ends while the task has no children.
NO_CHILDREN = '"children": []}'
#: The name of Celery's retry number n is this and n; later retries are not recorded.
RETRY_PREFIX = "retried-"
MAX_RETRIES = 20
#: Children that a page lists.
MAX_CHILDREN = 200


class Retry(NamedTuple):
    """Celery retried a task: when (ISO 8601), and the class of the exception."""

    at: str
    exception: str

    @property
    def moment(self) -> datetime | None:
        """When; None for a text that is no date."""
        try:
            return datetime.fromisoformat(str(self.at))
        except ValueError:
            return None


def build(
    queue: str,
    *,
    inexact_reason: str = "",
    ancestors: Mapping[str, str] | None = None,
    ending: str = NO_CHILDREN,
) -> str:
    """The text of `meta`. `ancestors`: task ids by `parent` and `root`; `ending`: `build_ending`.

    `inexact_reason`: why the stored arguments are not exact, a code of `InexactReason`.
    """
    values = {"queue": queue} | ({"arguments": inexact_reason} if inexact_reason else {})
    return celery_json.encode(values | dict(ancestors or {}))[:-1] + ", " + ending


def build_ending(*, extra: Mapping[str, Any], children: Iterable[Any]) -> str:
    """The end of the text: values that the project or a retry added, and Celery's children."""
    values = {name: value for name, value in extra.items() if name != "children"}
    return celery_json.encode(values | {"children": list(children)})[1:]


def retry_value(number: int, *, at: datetime, exception: str) -> dict[str, list[str]]:
    """The value that records Celery's retry number `number`, from 0; empty beyond `MAX_RETRIES`."""
    if number >= MAX_RETRIES:
        return {}
    return {f"{RETRY_PREFIX}{number}": [at.isoformat(timespec="seconds"), exception]}


def replace_ending_sql(column: str, *, ending: str, otherwise: str) -> tuple[str, list[str]]:
    """An expression and its parameters: the text in `column` with another ending.

    It is `otherwise` where the text has children already, or was not written here.
    """
    replaced = f"REPLACE({column}, %s, %s)"
    sql = f"CASE WHEN {column} LIKE %s THEN {replaced} ELSE %s END"
    return sql, [f"%{NO_CHILDREN}", NO_CHILDREN, ending, otherwise]


def parse(text: str | None) -> dict[str, Any]:
    """The values by name; none for a text that is no JSON object."""
    try:
        values = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def retries_in(values: Mapping[str, Any]) -> list[Retry]:
    """Celery's retries, oldest first, as far as they were recorded."""
    names = [f"{RETRY_PREFIX}{number}" for number in range(MAX_RETRIES)]
    found = (values[name] for name in names if name in values)
    return [Retry(*one) for one in found if isinstance(one, list) and len(one) == 2]


def children_in(values: Mapping[str, Any]) -> list[str]:
    """The ids of the tasks that the task published; Celery nests them to any depth. Each once."""
    found: dict[str, None] = {}
    pending = [values.get("children")]
    while pending and len(found) < MAX_CHILDREN:
        item = pending.pop(0)
        if isinstance(item, (list, tuple)):
            pending.extend(item)
        elif isinstance(item, str):
            found[item] = None
    return list(found)
