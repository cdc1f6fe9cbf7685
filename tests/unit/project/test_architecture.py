"""The limits that import-linter cannot check. Its contracts are in pyproject.toml."""

import statistics
from pathlib import Path

import pytest

from opsconsole.environment import BASE_DIR

APP = BASE_DIR / "tasks_admin"
MAX_LINES = 300
MAX_MEDIAN_LINES = 100
MAX_ENTRIES = 22
VAGUE_NAMES = {"services", "utils", "helpers", "manager"}


def python_files(root: Path) -> list[Path]:
    return [path for path in sorted(root.rglob("*.py")) if "migrations" not in path.parts]


def line_counts(root: Path) -> dict[str, int]:
    return {
        str(path.relative_to(BASE_DIR)): len(path.read_text().splitlines())
        for path in python_files(root)
    }


@pytest.mark.parametrize("root", ["tasks_admin", "opsconsole", "tests"])
def test_no_file_is_longer_than_300_lines(root):
    too_long = {name: n for name, n in line_counts(BASE_DIR / root).items() if n > MAX_LINES}

    assert too_long == {}


@pytest.mark.parametrize("root", ["tasks_admin", "opsconsole"])
def test_the_median_file_is_shorter_than_100_lines(root):
    assert statistics.median(line_counts(BASE_DIR / root).values()) < MAX_MEDIAN_LINES


def test_no_package_or_module_has_a_vague_name():
    names = {part for path in python_files(APP) for part in path.relative_to(APP).parts}

    assert not {name.removesuffix(".py") for name in names} & VAGUE_NAMES


def test_the_app_has_at_most_22_entries():
    entries = {path.name for path in APP.iterdir()} - {"__pycache__"}

    assert len(entries) <= MAX_ENTRIES, sorted(entries)
