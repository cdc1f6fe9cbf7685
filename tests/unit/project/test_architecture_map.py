"""The map on the architecture page: its paths exist, and no entry of the app is missing."""

import re

from opsconsole.environment import BASE_DIR

APP = BASE_DIR / "tasks_admin"
MAP = (BASE_DIR / "docs" / "architecture.md").read_text().partition("\n## Map of the app\n")[2]


def mapped() -> list[str]:
    """The paths in the first column, relative to the app."""
    return re.findall(r"^\| `([^`]+)` \|", MAP, flags=re.MULTILINE)


def test_each_path_exists():
    missing = [path for path in mapped() if not (APP / path).exists()]

    assert missing == []


def test_each_entry_of_the_app_is_in_the_map():
    entries = {path.name for path in APP.iterdir()} - {"__pycache__"}

    assert entries == {path.partition("/")[0] for path in mapped()}


def test_each_path_is_listed_once():
    assert len(mapped()) == len(set(mapped()))
