"""The floors: a module knows what is below it, and the doors are the only doors."""

import ast
import statistics
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from opsconsole.environment import BASE_DIR

ROOT = BASE_DIR
APP = ROOT / "tasks_admin"
FLOORS = [
    {"admin", "tasks", "management", "urls", "apps", "checks"},
    {"backend", "dispatcher"},
    {"accounts", "results", "workers", "queues", "periodic"},
    {"operations"},
    {"integrations"},
    {"models"},
    {"lib"},
]  # fmt: skip
#: Wiring, and what Django calls by itself.
ASIDE = {"__init__", "migrations", "templatetags", "locale", "checks"}
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
#: Who may know a package, by the beginning of a module's name.
DOORS = {
    "celery": {
        "tasks_admin.integrations", "tasks_admin.tasks", "tasks_admin.backend",
        "tasks_admin.apps", "opsconsole.celery", "opsconsole.settings",
    },
    "kombu": {
        "tasks_admin.integrations", "tasks_admin.backend",
        "tasks_admin.models.results", "opsconsole.settings",
    },
    "prometheus_client": {"tasks_admin.admin.monitoring"},
    "itsdangerous": {"tasks_admin.accounts.tokens"},
    "import_export": {"tasks_admin.admin.exchange"},
}  # fmt: skip


def modules(*roots: str) -> Iterator[tuple[str, Path]]:
    for root in roots:
        for path in sorted((ROOT / root).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield name.removesuffix(".__init__"), path


def imports(path: Path) -> set[str]:
    """All that a file imports, in functions and for types too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def rooms(path: Path) -> set[str]:
    """The rooms of the app that a file knows."""
    names = {name.split(".")[1] for name in imports(path) if name.startswith("tasks_admin.")}
    return names & set(FLOOR)


def room_of(name: str) -> str:
    return [*name.split("."), "__init__"][1]


OURS = [(name, path) for name, path in modules("tasks_admin") if room_of(name) not in ASIDE]


def test_every_module_has_a_floor():
    assert {room_of(name) for name, _path in OURS} <= set(FLOOR)


@pytest.mark.parametrize(("name", "path"), OURS, ids=[name for name, _path in OURS])
def test_a_module_knows_no_floor_above_its_own(name, path):
    room = room_of(name)

    above = {other for other in rooms(path) if FLOOR[other] < FLOOR[room]}

    assert not above, f"{name} imports {above} from above"


def test_on_one_floor_nobody_goes_in_circles():
    graph: dict[str, set[str]] = {}
    for name, path in OURS:
        graph.setdefault(room_of(name), set()).update(rooms(path) - {room_of(name)})

    TopologicalSorter(graph).prepare()  # raises CycleError


@pytest.mark.parametrize("package", DOORS)
def test_a_package_is_known_by_its_doors_alone(package):
    known = {
        name
        for name, path in modules("tasks_admin", "opsconsole")
        if any(found.split(".")[0] == package for found in imports(path))
    }

    doors = DOORS[package]
    strangers = {name for name in known if not any(name.startswith(door) for door in doors)}
    assert not strangers


def test_the_app_does_not_know_the_project():
    strangers = {
        name
        for name, path in modules("tasks_admin")
        if any(found.split(".")[0] == "opsconsole" for found in imports(path))
    }

    assert not strangers


@pytest.mark.parametrize("part", ["tasks_admin", "opsconsole", "tests"])
def test_files_stay_small(part):
    lengths = {
        name: len(path.read_text().splitlines())
        for name, path in modules(part)
        if "migrations" not in name
    }

    assert {name: length for name, length in lengths.items() if length > 300} == {}
    if part != "tests":
        assert statistics.median(lengths.values()) < 100


def test_there_is_no_general_room():
    assert not {room_of(name) for name, _path in OURS} & {"services", "utils", "helpers", "manager"}
