"""The reference tables of `docs/operating.md` list what the code declares: no more, no less."""

import re
from typing import get_type_hints

import pytest
from django.apps import apps
from django.contrib.auth.management import _get_all_permissions
from django.core.management import load_command_class

from opsconsole.environment import BASE_DIR
from tasks_admin.lib.conf import Settings

APP = BASE_DIR / "tasks_admin"
PAGE = (BASE_DIR / "docs" / "operating.md").read_text()


def listed(section: str) -> set[str]:
    """The names in the first column of the first table of a section."""
    table = PAGE.partition(f"\n## {section}\n")[2].partition("\n| --- ")[2].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| ")]
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def permissions() -> set[str]:
    models = apps.get_app_config("tasks_admin").get_models()
    return {codename for model in models for codename, _ in _get_all_permissions(model._meta)}


def checks() -> set[str]:
    sources = "".join(path.read_text() for path in APP.rglob("*.py"))
    return set(re.findall(r'"(tasks_admin\.[EW]\d{3})"', sources))


def subcommands() -> set[str]:
    parser = load_command_class("tasks_admin", "ops").create_parser("manage.py", "ops")
    return {
        name for action in parser._actions if action.dest == "subcommand" for name in action.choices
    }


@pytest.mark.parametrize(
    ("section", "declared"),
    [
        ("Permissions", permissions),
        ("Settings", lambda: set(get_type_hints(Settings))),
        ("System checks", checks),
        ("Command line", subcommands),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_table_lists_what_the_code_declares(section, declared):
    assert listed(section) == declared()
