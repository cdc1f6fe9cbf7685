"""The environment: what is understood, and what is refused, loudly and without showing secrets."""

import os
import stat
import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from opsconsole import environment
from opsconsole.environment import BASE_DIR

NAMES = ("DATABASE_URL", "CELERY_BROKER_URL", "HOST_URL", "PORT", "DATA_DIR", "DEBUG")
NAMES += ("SECRET_KEY", "SECRET_KEY_FALLBACKS", "ALLOWED_HOSTS", "CLIENT_ADDRESS_KEY")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    """Start from an empty environment."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def given_that(monkeypatch):
    """Set a variable."""
    return monkeypatch.setenv


class TestPlaces:
    """PORT and DATA_DIR."""

    def test_the_defaults(self):
        assert environment.places() == environment.Places(data_dir=BASE_DIR / "var", port=8000)

    def test_the_broker_and_the_catcher_have_the_next_two_ports(self, given_that, tmp_path):
        given_that("PORT", "9000")
        given_that("DATA_DIR", str(tmp_path))

        here = environment.places()

        assert (here.port, here.broker_port, here.smtp_port) == (9000, 9001, 9002)
        assert here.data_dir == tmp_path

    @pytest.mark.parametrize(
        "port", ["0", "-1", "65534", "65536", "123456", "http", "80.0", " 80", "80\n", "８０００"]
    )
    def test_what_is_no_port_is_refused(self, given_that, port):
        given_that("PORT", port)

        with pytest.raises(ImproperlyConfigured, match=r"PORT is .* from 1 to 65533"):
            environment.places()

    def test_a_directory_that_leads_nowhere_is_refused(self, given_that):
        given_that("DATA_DIR", "~nobody-of-this-name/data")

        with pytest.raises(ImproperlyConfigured, match="DATA_DIR leads nowhere"):
            environment.places()


class TestFlag:
    """DEBUG."""

    @pytest.mark.parametrize(
        ("value", "means"),
        [("", False), ("0", False), ("no", False), ("False", False), ("1", True), (" YES ", True)],
    )
    def test_what_is_understood(self, given_that, value, means):
        given_that("DEBUG", value)

        assert environment.flag("DEBUG") is means

    @pytest.mark.parametrize("value", ["2", "maybe", "None", "tru"])
    def test_anything_else_is_refused_and_is_not_taken_for_yes(self, given_that, value):
        given_that("DEBUG", value)

        with pytest.raises(ImproperlyConfigured, match="DEBUG must be 1 or 0"):
            environment.flag("DEBUG")


class TestClientAddressKey:
    """CLIENT_ADDRESS_KEY."""

    @pytest.mark.parametrize("key", ["REMOTE_ADDR", "HTTP_X_REAL_IP", "HTTP_X_FORWARDED_FOR"])
    def test_what_is_understood(self, given_that, key):
        given_that("CLIENT_ADDRESS_KEY", key)

        assert environment.client_address_key() == key

    @pytest.mark.parametrize("key", ["X-Real-IP", "X_REAL_IP", "http_x_real_ip", "HTTP_", "X "])
    def test_a_header_spelt_in_another_way_is_refused_and_does_not_switch_limits_off(
        self, given_that, key
    ):
        given_that("CLIENT_ADDRESS_KEY", key)

        with pytest.raises(ImproperlyConfigured, match="CLIENT_ADDRESS_KEY must be"):
            environment.client_address_key()


class TestSecretKey:
    """SECRET_KEY and SECRET_KEY_FALLBACKS."""

    def test_it_is_made_once_and_kept_for_this_user_alone(self, tmp_path):
        first = environment.secret_key(tmp_path / "new")

        assert environment.secret_key(tmp_path / "new") == first
        assert len(first) > 50
        (file,) = (tmp_path / "new").iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_of_two_processes_that_make_it_at_once_one_wins(self, tmp_path):
        environment._write_once(tmp_path / "secret_key", "the first")
        environment._write_once(tmp_path / "secret_key", "the second")

        assert environment.secret_key(tmp_path) == "the first"

    def test_the_environment_goes_first(self, given_that, tmp_path):
        environment.secret_key(tmp_path)
        given_that("SECRET_KEY", "$given")

        assert environment.secret_key(tmp_path) == "$given"

    @pytest.mark.parametrize("name", ["DATABASE_URL", "CELERY_BROKER_URL"])
    def test_it_must_be_given_to_processes_that_share_more_than_a_directory(
        self, given_that, tmp_path, name
    ):
        given_that(name, "anything")

        with pytest.raises(ImproperlyConfigured, match=f"SECRET_KEY must be set when {name} is"):
            environment.secret_key(tmp_path)

    def test_a_directory_that_is_none_is_refused(self, tmp_path):
        (tmp_path / "file").write_text("")

        with pytest.raises(ImproperlyConfigured, match="DATA_DIR can't be used"):
            environment.secret_key(tmp_path / "file")

    @pytest.mark.parametrize(
        ("value", "keys"),
        [
            ("", []),
            ("one", ["one"]),
            (" newer , older ,", ["newer", "older"]),
            ("$dollar,(paren)", ["$dollar", "(paren)"]),
        ],
    )
    def test_older_keys_are_read_as_they_are(self, given_that, value, keys):
        given_that("SECRET_KEY_FALLBACKS", value)

        assert environment.listed("SECRET_KEY_FALLBACKS") == keys


class TestHosts:
    """ALLOWED_HOSTS and HOST_URL."""

    @pytest.mark.parametrize(
        ("value", "hosts"), [("", ["default"]), (",", ["default"]), ("a.b, c.d", ["a.b", "c.d"])]
    )
    def test_hosts_are_separated_by_commas(self, given_that, value, hosts):
        given_that("ALLOWED_HOSTS", value)

        assert environment.listed("ALLOWED_HOSTS", ["default"]) == hosts

    @pytest.mark.parametrize(
        ("url", "read"),
        [
            ("https://console.example.com", "https://console.example.com"),
            ("https://console.example.com/", "https://console.example.com"),
            ("HTTPS://Console.Example.com", "https://console.example.com"),
            ("http://10.0.0.1:8443", "http://10.0.0.1:8443"),
            ("http://[2001:db8::1]:8000", "http://[2001:db8::1]:8000"),
        ],
    )
    def test_what_links_begin_with(self, given_that, url, read):
        given_that("HOST_URL", url)

        assert environment.host_url("http://default") == read

    @pytest.mark.parametrize(
        "url",
        [
            "console.example.com",
            "//console.example.com",
            "ftp://a.b",
            "https://",
            "https://:8000",
            "https://a.b/path",
            "https://a.b?q=1",
            "https://a.b#x",
            "https://u:p@a.b",
            "https://a b",
            "https://a.b:port",
            "https://a.b:99999",
            "https://a.b:0",
            "https://[::1",
            "https://a.b\n",
            "https://a.b\r\nBcc: x",
            "https://ex\u200bample.com",
            "javascript:alert(1)",
            "https://é.b",
        ],
    )
    def test_what_can_not_begin_a_link_is_refused(self, given_that, url):
        given_that("HOST_URL", url)

        with pytest.raises(ImproperlyConfigured, match="HOST_URL"):
            environment.host_url("http://default")


def test_what_is_refused_is_one_line_for_whoever_starts_the_console(tmp_path):
    asked = os.environ | {"DATA_DIR": str(tmp_path), "SECRET_KEY": "x", "EMAIL_URL": "u:hunter2@h"}
    command = [sys.executable, "-m", "opsconsole.devserver"]

    ended = subprocess.run(command, cwd=BASE_DIR, env=asked, capture_output=True, text=True)

    assert ended.returncode == 1
    assert "EMAIL_URL must begin with" in ended.stderr
    assert "hunter2" not in ended.stderr + ended.stdout
    assert "Traceback" not in ended.stderr
