"""The system checks: a test for each ID, and a valid project without messages."""

import pytest
from django.core.checks import run_checks
from django.test import override_settings

from tasks_admin.lib.conf import Settings
from tests.conftest import use_mail_server

PREFIX = "tasks_admin."


@pytest.fixture(autouse=True)
def valid_project(settings):
    """Valid settings, of which each test changes one."""
    use_mail_server(settings, port=25, timeout=10)
    settings.HOST_URL = "https://console.example"
    settings.ALLOWED_HOSTS = ["console.example", "[::1]"]


def console_messages():
    """Return the messages of the console's checks by ID."""
    return {message.id: message for message in run_checks() if message.id.startswith(PREFIX)}


def test_a_valid_project_has_no_messages():
    assert not console_messages()


def test_every_message_has_a_hint(settings):
    settings.HOST_URL = "http://elsewhere.example"
    settings.CELERY_ACCEPT_CONTENT = ["pickle"]
    settings.IMPORT_EXPORT_IMPORT_PERMISSION_CODE = None
    settings.TASKS_ADMIN_LIMITS = {}
    use_mail_server(settings, port=25, timeout=None)

    messages = console_messages()

    assert set(messages) == {
        f"{PREFIX}{name}" for name in ("E002", "E003", "E004", "E005", "W001", "W002")
    }
    assert all(message.hint and message.msg.endswith(".") for message in messages.values())


@pytest.mark.parametrize(
    "url",
    [
        "",
        None,
        7,
        "console.example",
        "//console.example",
        "ftp://console.example",
        "https://",
        "https://console.example/",
        "https://console.example/path",
        "https://console.example?q",
        "https://console.example#x",
        "https://user@console.example",
        "https://console.example:port",
        "https://console.example:0",
        "https://[::1",
        "https://console.example\n",
        "https://two words",
    ],
)
def test_e001_host_url_is_invalid(settings, url):
    settings.HOST_URL = url

    assert set(console_messages()) == {f"{PREFIX}E001"}


def test_e001_host_url_is_missing(settings):
    del settings.HOST_URL

    assert set(console_messages()) == {f"{PREFIX}E001"}


def test_e002_the_host_of_host_url_is_not_allowed(settings):
    settings.HOST_URL = "https://elsewhere.example"

    message = console_messages()[f"{PREFIX}E002"]

    assert "elsewhere.example" in message.hint


@pytest.mark.parametrize("hosts", [["*"], [".example"], ["console.example"], ["[::1]", "*"]])
def test_no_e002_if_the_host_is_allowed(settings, hosts):
    settings.ALLOWED_HOSTS = hosts

    assert not console_messages()


def test_no_e002_for_an_ipv6_address(settings):
    settings.HOST_URL = "https://[::1]:8443"

    assert not console_messages()


@pytest.mark.parametrize("url", ["http://console.example", "http://console.example:8000"])
def test_w001_the_links_are_not_encrypted(settings, url):
    settings.HOST_URL = url

    assert set(console_messages()) == {f"{PREFIX}W001"}


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost", "http://[::1]"])
def test_no_w001_on_loopback(settings, url):
    settings.HOST_URL, settings.ALLOWED_HOSTS = url, ["*"]

    assert not console_messages()


def test_no_w001_in_debug_mode(settings):
    settings.HOST_URL, settings.DEBUG = "http://console.example", True

    assert f"{PREFIX}W001" not in console_messages()


@pytest.mark.parametrize("content", [["pickle"], ["json", "pickle"], ["json", "yaml"]])
def test_e003_workers_accept_other_content_than_json(settings, content):
    settings.CELERY_ACCEPT_CONTENT = content

    assert set(console_messages()) == {f"{PREFIX}E003"}


@pytest.mark.parametrize("name", ["IMPORT", "EXPORT"])
def test_e004_import_and_export_require_no_permission(settings, name):
    setattr(settings, f"IMPORT_EXPORT_{name}_PERMISSION_CODE", "")

    message = console_messages()[f"{PREFIX}E004"]

    assert name in message.msg


@pytest.mark.parametrize("timeout", [None, 0, 15, 60])
def test_w002_the_timeout_of_the_mail_server_is_too_long(settings, timeout):
    use_mail_server(settings, port=25, timeout=timeout)

    assert set(console_messages()) == {f"{PREFIX}W002"}


@pytest.mark.parametrize(
    "limits",
    [
        {},
        None,
        {"request.user": (3, 3600)},
        Settings.LIMITS | {"choose.link": (3, 0)},
        Settings.LIMITS | {"choose.link": (-1, 60)},
        Settings.LIMITS | {"choose.link": 3},
        Settings.LIMITS | {"choose.link": None},
        Settings.LIMITS | {"choose.link": ("3", "60")},
    ],
)
def test_e005_a_limit_is_missing_or_invalid(limits):
    with override_settings(TASKS_ADMIN_LIMITS=limits):
        message = console_messages()[f"{PREFIX}E005"]

    assert "choose.link" in message.hint


@pytest.mark.parametrize("limit", [(0, 60), (3, 60), [3, 60]])
def test_no_e005_for_a_valid_limit(limit):
    with override_settings(TASKS_ADMIN_LIMITS=Settings.LIMITS | {"choose.link": limit}):
        assert not console_messages()
