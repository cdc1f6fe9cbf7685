"""The order in which pytest-xdist runs the test files, and in which process."""

from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from tests.support.shared import shared_directory, stop_servers

#: Marks of tests that wait for other processes.
WAITING_MARKS = ("browser", "postgres", "rabbitmq", "stack")
#: Files whose tests share a console or a server that they change: they run in one process, one
#: after the other. What they share starts once.
GROUPS = {
    "consoles": (
        "chaos/test_bulk.py",
        "chaos/test_pace.py",
        "stack/project/test_concurrent_requests.py",
        "stack/project/test_production.py",
    ),
    "faults": (
        "chaos/test_click.py",
        "chaos/test_full_broker.py",
        "chaos/test_kills.py",
        "chaos/test_mail_server.py",
        "integration/workers/test_control_rabbitmq.py",
    ),
}


class SharedScheduling(LoadFileScheduling):  # type: ignore[misc]
    """Keeps the tests of a file together, and the files of a group."""

    def _split_scope(self, nodeid: str) -> str:
        path = str(super()._split_scope(nodeid))
        for group, files in GROUPS.items():
            if path.endswith(files):
                return group
        return path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Use this scheduler with `--dist loadfile`."""
    return SharedScheduling(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that wait for other processes, so that none of them runs last.

    By itself, xdist begins with the files that have the most tests, which are the quick ones:
    hence `--no-loadscope-reorder`.
    """
    waiting = {item.path for item in items if any(map(item.get_closest_marker, WAITING_MARKS))}
    grouped = {item.path for item in items if str(item.path).endswith(sum(GROUPS.values(), ()))}
    items.sort(key=lambda item: (item.path not in grouped, item.path not in waiting))


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Any:
    """Stop the shared servers when all processes have ended."""
    config = session.config
    if hasattr(config, "workerinput"):
        return (yield)
    directory = shared_directory(config, config._tmp_path_factory)  # type: ignore[attr-defined]
    stop_servers(directory)
    return (yield)
