"""Counts how often each task `host.record` was executed."""

from collections import Counter
from pathlib import Path

#: Bytes that an execution appends.
LINE_LENGTH = 8


class Executions:
    """The file to which each execution appends a line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __len__(self) -> int:
        """Return the number of executions."""
        return self.path.stat().st_size // LINE_LENGTH if self.path.exists() else 0

    def counts(self) -> Counter[int]:
        """Return the number of executions of each task, by its argument."""
        return Counter(map(int, self.path.read_bytes().split()))
