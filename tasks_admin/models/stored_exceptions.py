"""The column `result` of a failed task: the exception, as Celery stores it.

The text is one JSON object that begins with the class, where an index reads it at a fixed position.
That relies on the separators of `celery_json`, not on those of kombu.
"""

from collections.abc import Mapping
from typing import Any

from tasks_admin.lib import celery_json

#: How the text begins, and the position (from 1, as SQL counts) of the class's name in it.
CLASS_PREFIX = '{"exc_type": "'
CLASS_START = len(CLASS_PREFIX) + 1
#: The exception of a task whose worker process died each time, as often as allowed.
WORKER_LOST = {
    "exc_type": "WorkerLostError",
    "exc_message": ["Its process died each time."],
    "exc_module": "billiard.exceptions",
}
#: The classes that Celery stores when a worker process died while it ran the task.
PROCESS_DIED = frozenset({"WorkerLostError", "TimeLimitExceeded"})


def build(exception: Mapping[str, Any]) -> str:
    """The text of an exception in Celery's form: `exc_type`, `exc_message`, `exc_module`.

    Raises one of `celery_json.ENCODING_ERRORS`.
    """
    return celery_json.encode({"exc_type": exception.get("exc_type"), **exception})
