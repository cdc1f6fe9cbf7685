"""URLs in environment variables: valid ones, and errors that do not show the password."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from opsconsole import environment


@pytest.fixture
def setenv(monkeypatch):
    """Set an environment variable; the others are unset."""
    for name in READERS:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch.setenv


class TestDatabase:
    """DATABASE_URL."""

    def test_the_default_is_sqlite_with_immediate_transactions(self, setenv, tmp_path):
        config = environment.read_database(tmp_path)

        assert config["ENGINE"].endswith("sqlite3")
        assert config["NAME"] == str(tmp_path / "console.sqlite3")
        assert config["OPTIONS"]["transaction_mode"] == "IMMEDIATE"

    def test_postgres(self, setenv, tmp_path):
        setenv("DATABASE_URL", "postgres://user:p%40%2Fss@db.example:5433/ops?sslmode=require")

        config = environment.read_database(tmp_path)

        assert config["ENGINE"].endswith("postgresql")
        assert (config["USER"], config["PASSWORD"]) == ("user", "p@/ss")
        assert (config["HOST"], config["PORT"], config["NAME"]) == ("db.example", 5433, "ops")
        assert config["OPTIONS"] == {"sslmode": "require", "connect_timeout": 5}

    @pytest.mark.parametrize(
        "url",
        [
            "nonsense",
            "$OTHER",
            "mysql://u:hunter2@h/db",
            "oops://u:hunter2@h/db",
            "postgres://h",
            "postgres://u:hunter2@h:port/db",
            "postgres://u:hun/ter2@h/db",
            "postgres://u:hunter2",
        ],
    )
    def test_invalid_urls_are_rejected(self, setenv, tmp_path, url):
        setenv("DATABASE_URL", url)

        with pytest.raises(ImproperlyConfigured, match="DATABASE_URL") as caught:
            environment.read_database(tmp_path)

        assert "hun" not in str(caught.value)


class TestBroker:
    """CELERY_BROKER_URL."""

    @pytest.mark.parametrize(
        "url",
        [
            "redis://:p%40ss@h:6379/0",
            "rediss://h",
            "amqp://u:p@h:5672//vhost",
            "redis+socket:///s",
            "sentinel://a:26379;sentinel://b:26379",
            "sentinel://a:26379;b:26379",
            "redis:///0",
        ],
    )
    def test_valid_urls(self, setenv, url):
        setenv("CELERY_BROKER_URL", url)

        assert environment.read_broker_url("redis://default") == url

    @pytest.mark.parametrize(
        "url",
        [
            "redis",
            "h:6379",
            "memory://",
            "filesystem://",
            "sqla+sqlite:///x",
            "https://h",
            "$BROKER",
            "redis://:hun/ter2@h:6379/0",
            "redis://:hun#ter2@h",
            "redis://:12/hunter2@h/0",
            "redis://:12#hunter2@h",
            "redis://[::1",
            "redis://h:port",
            "redis://h;redis://i:port",
        ],
    )
    def test_invalid_urls_are_rejected(self, setenv, url):
        setenv("CELERY_BROKER_URL", url)

        with pytest.raises(ImproperlyConfigured, match="CELERY_BROKER_URL") as caught:
            environment.read_broker_url("redis://default")

        assert "hun" not in str(caught.value)


class TestEmail:
    """EMAIL_URL and DEFAULT_FROM_EMAIL."""

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("smtp://h", {"EMAIL_HOST": "h", "EMAIL_PORT": 25}),
            ("smtp://h:26", {"EMAIL_HOST": "h", "EMAIL_PORT": 26}),
            ("smtps://h", {"EMAIL_PORT": 465, "EMAIL_USE_SSL": True}),
            ("smtp+tls://h", {"EMAIL_PORT": 587, "EMAIL_USE_TLS": True}),
            ("smtp://u%40x:p%2F%23@h", {"EMAIL_HOST_USER": "u@x", "EMAIL_HOST_PASSWORD": "p/#"}),
        ],
    )
    def test_valid_urls(self, setenv, url, expected):
        setenv("EMAIL_URL", url)

        assert environment.read_email("smtp://default").items() >= expected.items()

    @pytest.mark.parametrize(
        "url",
        [
            "h",
            "h:25",
            "smtp://",
            "smtp://:25",
            "http://h",
            "smtp+ssl://h",
            "dummymail://",
            "$MAIL",
            "smtp://u:hunter2@h:port",
            "smtp://u:hun#ter2@h",
            "smtp://u:12#hunter2@h",
            "smtp://[::1",
            "smtp://u:12/hunter2@h",
            "smtp://u:12?hunter2@h",
            "smtp://h:99999",
            "smtp://h:0",
            "smtp://h/path",
            "smtp://h?timeout=9",
            "smtp://h\n",
            "smtp://a b",
        ],
    )
    def test_invalid_urls_are_rejected(self, setenv, url):
        setenv("EMAIL_URL", url)

        with pytest.raises(ImproperlyConfigured, match="EMAIL_URL") as caught:
            environment.read_email("smtp://default")

        assert "hun" not in str(caught.value)

    @pytest.mark.parametrize("sender", ["ops@example.com", "Ops <ops@example.com>", "me@localhost"])
    def test_valid_senders(self, setenv, sender):
        setenv("DEFAULT_FROM_EMAIL", sender)

        assert environment.read_from_email("default@localhost") == sender

    @pytest.mark.parametrize(
        "sender", ["ops", "Ops <ops>", "a@b@c", "a@b.c\nBcc: d@e.f", "@", "<>"]
    )
    def test_invalid_senders_are_rejected(self, setenv, sender):
        setenv("DEFAULT_FROM_EMAIL", sender)

        with pytest.raises(ImproperlyConfigured, match="DEFAULT_FROM_EMAIL"):
            environment.read_from_email("default@localhost")


READERS = {
    "DATABASE_URL": lambda path: environment.read_database(path),
    "CELERY_BROKER_URL": lambda path: environment.read_broker_url("redis://"),
    "EMAIL_URL": lambda path: environment.read_email("smtp://h"),
    "HOST_URL": lambda path: environment.read_host_url("http://h"),
}
SCHEMES = ["postgres://", "redis://", "amqp://", "smtp://", "https://", "sqlite:///", "oops://", ""]
ODD = st.text(alphabet=st.sampled_from("aZ0/?#@:;[]%&=$. \n\té,"), max_size=12)


@pytest.mark.parametrize("name", READERS)
@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(scheme=st.sampled_from(SCHEMES), secret=ODD, rest=ODD)
@example(scheme="smtp://", secret="a%zz", rest="%")
def test_any_text_is_accepted_or_rejected_without_showing_the_password(
    monkeypatch, tmp_path, name, scheme, secret, rest
):
    monkeypatch.setenv(name, f"{scheme}hunter2{secret}@{rest}")

    try:
        READERS[name](tmp_path)
    except ImproperlyConfigured as error:
        assert "hunter2" not in str(error)
