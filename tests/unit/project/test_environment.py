"""Environment variables: valid values, and errors for malformed ones, which show no secrets."""

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
def empty_environment(monkeypatch):
    """Unset the variables."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def setenv(monkeypatch):
    """Set an environment variable."""
    return monkeypatch.setenv


class TestInstance:
    """PORT and DATA_DIR."""

    def test_the_defaults(self):
        assert environment.read_instance() == environment.Instance(
            data_dir=BASE_DIR / "var", port=8000
        )

    def test_the_broker_and_the_mail_catcher_use_the_next_two_ports(self, setenv, tmp_path):
        setenv("PORT", "9000")
        setenv("DATA_DIR", str(tmp_path))

        instance = environment.read_instance()

        assert (instance.port, instance.broker_port, instance.smtp_port) == (9000, 9001, 9002)
        assert instance.data_dir == tmp_path

    @pytest.mark.parametrize(
        "port", ["0", "-1", "65534", "65536", "123456", "http", "80.0", " 80", "80\n", "８０００"]
    )
    def test_an_invalid_port_is_rejected(self, setenv, port):
        setenv("PORT", port)

        with pytest.raises(ImproperlyConfigured, match="PORT must be a number from 1 to 65533"):
            environment.read_instance()

    def test_a_directory_of_an_unknown_user_is_rejected(self, setenv):
        setenv("DATA_DIR", "~no-user-of-this-name/data")

        with pytest.raises(ImproperlyConfigured, match="DATA_DIR is not a valid path"):
            environment.read_instance()


class TestBool:
    """DEBUG."""

    @pytest.mark.parametrize(
        ("value", "expected"),
        [("", False), ("0", False), ("no", False), ("False", False), ("1", True), (" YES ", True)],
    )
    def test_valid_values(self, setenv, value, expected):
        setenv("DEBUG", value)

        assert environment.read_bool("DEBUG") is expected

    @pytest.mark.parametrize("value", ["2", "maybe", "None", "tru"])
    def test_any_other_value_is_rejected_and_does_not_count_as_true(self, setenv, value):
        setenv("DEBUG", value)

        with pytest.raises(ImproperlyConfigured, match="DEBUG must be 1 or 0"):
            environment.read_bool("DEBUG")


class TestClientAddressKey:
    """CLIENT_ADDRESS_KEY."""

    @pytest.mark.parametrize("key", ["REMOTE_ADDR", "HTTP_X_REAL_IP", "HTTP_X_FORWARDED_FOR"])
    def test_valid_keys(self, setenv, key):
        setenv("CLIENT_ADDRESS_KEY", key)

        assert environment.read_client_address_key() == key

    @pytest.mark.parametrize("key", ["X-Real-IP", "X_REAL_IP", "http_x_real_ip", "HTTP_", "X "])
    def test_another_spelling_of_a_header_is_rejected_and_does_not_disable_rate_limits(
        self, setenv, key
    ):
        setenv("CLIENT_ADDRESS_KEY", key)

        with pytest.raises(ImproperlyConfigured, match="CLIENT_ADDRESS_KEY must be"):
            environment.read_client_address_key()


class TestSecretKey:
    """SECRET_KEY and SECRET_KEY_FALLBACKS."""

    def test_it_is_generated_once_and_readable_only_by_its_user(self, tmp_path):
        first = environment.read_secret_key(tmp_path / "new")

        assert environment.read_secret_key(tmp_path / "new") == first
        assert len(first) > 50
        (file,) = (tmp_path / "new").iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_the_first_of_two_concurrent_processes_wins(self, tmp_path):
        environment._create_file(tmp_path / "secret_key", "the first")
        environment._create_file(tmp_path / "secret_key", "the second")

        assert environment.read_secret_key(tmp_path) == "the first"

    def test_the_environment_variable_takes_precedence(self, setenv, tmp_path):
        environment.read_secret_key(tmp_path)
        setenv("SECRET_KEY", "$from-environment")

        assert environment.read_secret_key(tmp_path) == "$from-environment"

    @pytest.mark.parametrize("name", ["DATABASE_URL", "CELERY_BROKER_URL"])
    def test_it_is_required_with_an_external_database_or_broker(self, setenv, tmp_path, name):
        setenv(name, "anything")

        with pytest.raises(
            ImproperlyConfigured, match=f"SECRET_KEY must be set when {name} is set"
        ):
            environment.read_secret_key(tmp_path)

    def test_a_path_that_is_not_a_directory_is_rejected(self, tmp_path):
        (tmp_path / "file").write_text("")

        with pytest.raises(ImproperlyConfigured, match="DATA_DIR cannot be used"):
            environment.read_secret_key(tmp_path / "file")

    @pytest.mark.parametrize(
        ("value", "keys"),
        [
            ("", []),
            ("one", ["one"]),
            (" newer , older ,", ["newer", "older"]),
            ("$dollar,(paren)", ["$dollar", "(paren)"]),
        ],
    )
    def test_fallback_keys_are_read_unchanged(self, setenv, value, keys):
        setenv("SECRET_KEY_FALLBACKS", value)

        assert environment.read_list("SECRET_KEY_FALLBACKS") == keys


class TestHosts:
    """ALLOWED_HOSTS and HOST_URL."""

    @pytest.mark.parametrize(
        ("value", "hosts"), [("", ["default"]), (",", ["default"]), ("a.b, c.d", ["a.b", "c.d"])]
    )
    def test_hosts_are_separated_by_commas(self, setenv, value, hosts):
        setenv("ALLOWED_HOSTS", value)

        assert environment.read_list("ALLOWED_HOSTS", ["default"]) == hosts

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("https://console.example.com", "https://console.example.com"),
            ("https://console.example.com/", "https://console.example.com"),
            ("HTTPS://Console.Example.com", "https://console.example.com"),
            ("http://10.0.0.1:8443", "http://10.0.0.1:8443"),
            ("http://[2001:db8::1]:8000", "http://[2001:db8::1]:8000"),
        ],
    )
    def test_valid_host_urls(self, setenv, url, expected):
        setenv("HOST_URL", url)

        assert environment.read_host_url("http://default") == expected

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
    def test_invalid_host_urls_are_rejected(self, setenv, url):
        setenv("HOST_URL", url)

        with pytest.raises(ImproperlyConfigured, match="HOST_URL"):
            environment.read_host_url("http://default")


def test_the_development_server_reports_a_malformed_variable_without_a_traceback(tmp_path):
    env = os.environ | {"DATA_DIR": str(tmp_path), "SECRET_KEY": "x", "EMAIL_URL": "u:hunter2@h"}
    command = [sys.executable, "-m", "opsconsole.devserver"]

    process = subprocess.run(command, cwd=BASE_DIR, env=env, capture_output=True, text=True)

    assert process.returncode == 1
    assert "EMAIL_URL must begin with" in process.stderr
    assert "hunter2" not in process.stderr + process.stdout
    assert "Traceback" not in process.stderr
