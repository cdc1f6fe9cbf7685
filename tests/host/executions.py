"""A console inside that project, with failures to retry, and a count of what was executed."""

from collections import Counter
from pathlib import Path
from typing import Any

from tests.support.stack import Stack

FAILURES = """
from tasks_admin.models import Result
Result.objects.bulk_create(
    (Result(task_id=f"failed-{{n}}", task_name="host.mark", status="FAILURE",
            task_args=f"[{{n}}]", task_kwargs="{{}}", meta='{{"queue": "celery"}}',
            content_type="application/json", content_encoding="utf-8",
            result='{{"exc_type": "OSError"}}')
     for n in range({count})),
    batch_size=5000,
)
"""
#: Bytes that an execution leaves.
LINE_LENGTH = 8


class Executions:
    """The file to which each execution adds one line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __len__(self) -> int:
        """How many executions there were."""
        return self.path.stat().st_size // LINE_LENGTH if self.path.exists() else 0

    def numbers(self) -> Counter[int]:
        """How often each number was executed."""
        return Counter(map(int, self.path.read_bytes().split()))


def make_host_stack(directory: Path, **environment: str) -> tuple[Stack, Executions]:
    """A console in that project, nothing of it started."""
    marks = Executions(directory / "marks")
    named: dict[str, Any] = {
        "DJANGO_SETTINGS_MODULE": "tests.host.settings",
        "HOST_MARKS": str(marks.path),
    }
    return Stack(directory, **named, **environment), marks


def store_failed_results(stack: Stack, count: int) -> None:
    """So many results of tasks that failed: `host.mark(0)`, `host.mark(1)`, …"""
    stack.manage("shell", "--verbosity", "0", "-c", FAILURES.format(count=count))
