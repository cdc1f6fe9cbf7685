"""A transport for each of Django's email backends; SMTP by default."""

import inspect
from types import SimpleNamespace

import django
import pytest
from django.core.mail import EmailMessage

from tasks_admin.checks import check_email_timeout
from tasks_admin.integrations.mail import backends, smtp, transports
from tasks_admin.integrations.mail.transports import EmailTransport
from tests.conftest import use_mail_server

OTHER = "provider.EmailBackend"


@pytest.fixture
def use_backend(settings):
    """Configure one of Django's email backends, by its path."""

    def use(path):
        if django.VERSION >= (6, 1):
            settings.MAILERS = {"default": {"BACKEND": path}}
        else:
            settings.EMAIL_BACKEND = path

    return use


@pytest.fixture
def provider(monkeypatch, use_backend):
    """A transport, selected by another email backend, that collects the emails."""
    sent = []
    made = SimpleNamespace(send=sent.append, close=lambda: None, timeout=lambda: 99, sent=sent)
    monkeypatch.setitem(transports.TRANSPORTS, OTHER, made)
    use_backend(OTHER)
    return made


@pytest.mark.parametrize("path", transports.TRANSPORTS)
def test_each_transport_has_the_functions_of_the_contract(path, use_backend):
    use_backend(path)

    found = transports.configured()

    for name, function in inspect.getmembers(EmailTransport, inspect.isfunction):
        if not name.startswith("_"):
            expected = list(inspect.signature(function).parameters)[1:]
            assert list(inspect.signature(getattr(found, name)).parameters) == expected


@pytest.mark.parametrize("name", ["smtp", "locmem", "console"])
def test_smtp_sends_through_djangos_own_backends(name, use_backend):
    use_backend(f"django.core.mail.backends.{name}.EmailBackend")

    assert transports.configured() is smtp


def test_a_row_of_the_table_selects_another_transport(provider):
    message = EmailMessage("Subject", "Body", to=["ann@mail.example"])

    transports.configured().send(message)

    assert provider.sent == [message]


def test_the_check_reads_the_transports_timeout(provider):
    (warning,) = check_email_timeout()

    assert warning.id == "tasks_admin.W002"


def test_a_transport_reads_the_options_of_the_settings(settings):
    given = {"host": "api.example", "port": 443, "username": "u", "password": "p", "timeout": 7}
    use_mail_server(settings, **given)

    assert backends.backend_options().items() >= given.items()
