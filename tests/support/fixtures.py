"""Fixtures for servers and consoles that tests share; `tests/conftest.py` loads them."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support import shared
from tests.support.console import Console
from tests.support.host_project import HostProject, HostProjects
from tests.support.servers import Postgres, RabbitMQ, Redis
from tests.support.stack import Stack

#: Prepares a console: takes the names of its processes and `users=`, the number of sample users.
Prepare = Callable[..., Stack]


def broker_params() -> list[Any]:
    """Debian's Redis behaves as Valkey does: only `make chaos` tests it."""
    params = [
        pytest.param("valkey", marks=pytest.mark.stack),
        pytest.param("rabbitmq", marks=pytest.mark.rabbitmq),
    ]
    if os.environ.get("CHAOS_REDIS"):
        params.append(pytest.param("redis", marks=pytest.mark.stack))
    return params


@pytest.fixture(scope="session")
def shared_dir(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of what the processes of a run share; see `tests.support.shared`."""
    return shared.shared_directory(request.config, tmp_path_factory)


@pytest.fixture
def postgres_url(shared_dir: Path) -> str:
    """A database with its tables in the shared cluster."""
    return shared.postgres_database(shared_dir)


@pytest.fixture
def empty_postgres_url(shared_dir: Path) -> str:
    """A database without tables in the shared cluster."""
    return shared.postgres_database(shared_dir, empty=True)


@pytest.fixture(scope="module")
def host_projects(
    shared_dir: Path, tmp_path_factory: pytest.TempPathFactory, valkey: str
) -> Iterator[HostProjects]:
    """Makes host projects that live as long as the tests of a module."""
    projects = HostProjects(shared_dir, tmp_path_factory.mktemp, valkey)
    with projects.cleanup:
        yield projects


@pytest.fixture
def make_host_project(
    shared_dir: Path, tmp_path_factory: pytest.TempPathFactory, valkey: str
) -> Iterator[Callable[..., HostProject]]:
    """Make host projects that live as long as the test."""
    projects = HostProjects(shared_dir, tmp_path_factory.mktemp, valkey)
    with projects.cleanup:
        yield projects.make


@pytest.fixture
def host_project(make_host_project: Callable[..., HostProject]) -> HostProject:
    """A host project on SQLite and Valkey."""
    return make_host_project()


@pytest.fixture(params=broker_params())
def broker_url(
    request: pytest.FixtureRequest, valkey: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of an empty broker of each kind."""
    if request.param == "redis":
        server = Redis(tmp_path_factory.mktemp("redis"))
        yield server.url
        server.close()
        return
    if request.param == "valkey":
        with contextlib.closing(redis.Redis.from_url(valkey)) as client:
            client.flushall()
        yield valkey
        return
    yield request.getfixturevalue("rabbitmq_url")


@pytest.fixture
def rabbitmq_url(shared_dir: Path) -> str:
    """An unused virtual host of the shared node. The test must not disturb the node."""
    return shared.rabbitmq_vhost(shared_dir)


@pytest.fixture
def own_postgres(shared_dir: Path) -> Iterator[Postgres]:
    """A cluster that the test may stop, with the tables in its database."""
    cluster = Postgres(template=shared.postgres_template(shared_dir))
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def own_rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A node that tests may freeze and stop. They leave it running, and use `next_url`."""
    node = RabbitMQ(tmp_path_factory.mktemp("rabbitmq"), vhosts=True)
    yield node
    node.close()


def _serve(request: pytest.FixtureRequest, console: Console) -> Iterator[Prepare]:
    """Yield `prepare`; stop all processes if the test fails: the next one starts new ones."""
    failed = request.session.testsfailed
    yield console.prepare
    if request.session.testsfailed != failed:
        console.close()


@pytest.fixture(scope="session")
def shared_console(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A console on SQLite and the embedded broker, as on a laptop."""
    console = Console(shared_dir, tmp_path_factory.mktemp("console"))
    yield console
    console.close()


@pytest.fixture(scope="session")
def shared_production_console(
    shared_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Console]:
    """A console on PostgreSQL and RabbitMQ, as in production."""
    console = Console(
        shared_dir,
        tmp_path_factory.mktemp("production"),
        DATABASE_URL=shared.postgres_database(shared_dir),
        CELERY_BROKER_URL=shared.rabbitmq_vhost(shared_dir),
    )
    yield console
    console.close()


@pytest.fixture
def console(request: pytest.FixtureRequest, shared_console: Console) -> Iterator[Prepare]:
    """Prepare the shared console on SQLite and the embedded broker."""
    yield from _serve(request, shared_console)


@pytest.fixture
def production_console(
    request: pytest.FixtureRequest, shared_production_console: Console
) -> Iterator[Prepare]:
    """Prepare the shared console on PostgreSQL and RabbitMQ."""
    yield from _serve(request, shared_production_console)
