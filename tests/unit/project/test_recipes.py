"""The recipes in CONTRIBUTING.md: the files and the sections that they name exist."""

import re

import pytest

from opsconsole.environment import BASE_DIR

PAGE = (BASE_DIR / "CONTRIBUTING.md").read_text()
RECIPES = PAGE.partition("\n## Recipes\n")[2]
DIRECTORIES = ("docs", "opsconsole", "requirements", "tasks_admin", "templates", "tests")
PATHS = sorted(
    path
    for path in set(re.findall(r"`([\w./-]+)`", RECIPES))
    if path.partition("/")[0] in DIRECTORIES and "/" in path
)


def test_there_are_paths():
    assert len(PATHS) > 30


@pytest.mark.parametrize("path", PATHS)
def test_each_path_exists(path):
    assert (BASE_DIR / path).exists()


@pytest.mark.parametrize("anchor", sorted(set(re.findall(r"\]\(#([\w-]+)\)", RECIPES))))
def test_each_link_leads_to_a_recipe(anchor):
    titles = re.findall(r"^### (.+)$", RECIPES, flags=re.MULTILINE)

    assert anchor in {title.lower().replace(" ", "-") for title in titles}
