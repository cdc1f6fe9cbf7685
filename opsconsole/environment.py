"""Reads all environment variables, and rejects malformed values at startup."""

import os
import re
import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from email.utils import parseaddr
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import validate_email

BASE_DIR = Path(__file__).resolve().parent.parent
DATABASE_SCHEMES = ("postgres", "postgresql", "psql", "pgsql", "sqlite")
BROKER_SCHEMES = (
    "redis", "rediss", "redis+socket", "sentinel", "amqp", "amqps", "pyamqp",
)  # fmt: skip
SMTP_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
#: EMAIL_URL's schemes: django-environ's scheme, the default port, and Django's email backend.
#: smtps:// is implicit TLS, as everywhere except in django-environ, where it is STARTTLS.
EMAIL_SCHEMES = {
    "smtp": ("smtp", 25, SMTP_BACKEND),
    "smtps": ("smtp+ssl", 465, SMTP_BACKEND),
    "smtp+tls": ("smtp+tls", 587, SMTP_BACKEND),
}
#: Scheme, host and port, in the form in which Django compares hosts.
HOST_URL_PATTERN = re.compile(r"https?://([a-z0-9.-]+|\[[a-f0-9:.]+\])(:[0-9]{1,5})?")
#: A refusal lists the valid values up to this number: there are hundreds of time zones.
MAX_LISTED_CHOICES = 10


@dataclass(frozen=True, kw_only=True)
class Instance:
    """The data directory and the three ports on loopback of this instance."""

    data_dir: Path
    port: int

    @property
    def broker_port(self) -> int:
        """The port of the embedded broker."""
        return self.port + 1

    @property
    def smtp_port(self) -> int:
        """The port of the mail catcher."""
        return self.port + 2


def invalid(name: str, problem: str) -> ImproperlyConfigured:
    """Return the error for a malformed variable. Callers leave out values that may be secret."""
    return ImproperlyConfigured(
        f"{name} {problem}. Correct this environment variable and start again."
    )


def read_string(name: str, default: str = "") -> str:
    """Return the value unchanged. An empty variable counts as unset."""
    return os.environ.get(name) or default


def read_list(name: str, default: Iterable[str] = ()) -> list[str]:
    """Return comma-separated values, without surrounding whitespace."""
    items = [item.strip() for item in read_string(name).split(",")]
    return [item for item in items if item] or list(default)


def read_choice(name: str, choices: Collection[str], default: str) -> str:
    """Return a value that is one of the choices."""
    value = read_string(name, default)
    if value not in choices:
        listed = len(choices) <= MAX_LISTED_CHOICES
        expected = f"one of {', '.join(sorted(choices))}" if listed else "a supported value"
        raise invalid(name, f"must be {expected}, not {value[:40]!r}")
    return value


def read_bool(name: str) -> bool:
    """Return a boolean; an unset variable is false."""
    value = os.environ.get(name, "").strip().lower()
    if value not in {"", "0", "1", "no", "yes", "false", "true", "off", "on"}:
        raise invalid(name, "must be 1 or 0")
    return value in {"1", "yes", "true", "on"}


def _split_url(name: str, url: str) -> SplitResult:
    """Split a URL. In a password that is not percent-encoded, `/?#@` would change the host."""
    error = invalid(name, "is not a valid URL, or contains characters that must be percent-encoded")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise error from None
    misplaced = parts.fragment or "@" in f"{parts.path}{parts.query}"
    if port == 0 or misplaced or " " in url or not url.isprintable():
        raise error
    return parts


def read_instance() -> Instance:
    """Read PORT and DATA_DIR."""
    port = read_string("PORT", "8000")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) <= 65533:
        raise invalid("PORT", f"must be a number from 1 to 65533, not {port!r}")
    try:
        data_dir = Path(read_string("DATA_DIR") or BASE_DIR / "var").expanduser().resolve()
    except RuntimeError:
        raise invalid(
            "DATA_DIR", "is not a valid path: it names an unknown user or a circular link"
        ) from None
    return Instance(data_dir=data_dir, port=int(port))


def read_secret_key(data_dir: Path) -> str:
    """Read SECRET_KEY, or the key that the first run generates and stores in DATA_DIR."""
    if key := read_string("SECRET_KEY").strip():
        return key
    for name in ("DATABASE_URL", "CELERY_BROKER_URL"):
        if read_string(name):
            raise invalid("SECRET_KEY", f"must be set when {name} is set")
    path = data_dir / "secret_key"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _create_file(path, secrets.token_urlsafe(50))
        return path.read_text()
    except OSError as error:
        raise invalid("DATA_DIR", f"cannot be used: {error.strerror} ({error.filename})") from None


def _create_file(path: Path, text: str) -> None:
    """Create a file that only its owner may read. If two processes race, the first one wins."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    try:
        os.link(draft, path)  # atomic; fails if another process created the file first
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def read_database(data_dir: Path) -> dict[str, Any]:
    """Read DATABASE_URL into an entry of DATABASES; the default is SQLite in DATA_DIR."""
    url = read_string("DATABASE_URL") or f"sqlite:///{data_dir / 'console.sqlite3'}"
    if url.partition("://")[0] not in DATABASE_SCHEMES:
        raise invalid("DATABASE_URL", "must begin with postgres:// or sqlite://")
    try:
        config: dict[str, Any] = dict(environ.Env.db_url_config(url))
    except (ValueError, KeyError, ImproperlyConfigured):
        raise invalid("DATABASE_URL", "is not a valid postgres:// or sqlite:// URL") from None
    engine = config.get("ENGINE", "")
    if not engine.endswith((".postgresql", ".sqlite3")) or not config.get("NAME"):
        raise invalid("DATABASE_URL", "must be a postgres:// or sqlite:// URL with a database name")
    config |= {"CONN_MAX_AGE": 600, "CONN_HEALTH_CHECKS": True}
    if engine.endswith(".sqlite3"):
        config["OPTIONS"] = {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
    else:
        config.setdefault("OPTIONS", {}).setdefault("connect_timeout", 5)
    return config


def read_broker_url(default: str) -> str:
    """Read CELERY_BROKER_URL."""
    url = read_string("CELERY_BROKER_URL", default)
    if url.partition("://")[0] not in BROKER_SCHEMES or "://" not in url:
        raise invalid("CELERY_BROKER_URL", "must begin with redis:// or amqp://")
    for part in url.split(";"):  # Sentinel nodes, or brokers for failover
        _split_url("CELERY_BROKER_URL", part if "://" in part else f"//{part}")
    return url


def read_email(default: str) -> dict[str, Any]:
    """Read EMAIL_URL into Django's EMAIL_* settings."""
    url = read_string("EMAIL_URL", default)
    scheme, _separator, rest = url.partition("://")
    if scheme not in EMAIL_SCHEMES or not _split_url("EMAIL_URL", url).hostname:
        *others, last = (f"{name}://" for name in EMAIL_SCHEMES)
        schemes = f"{', '.join(others)} or {last}"
        raise invalid("EMAIL_URL", f"must begin with {schemes} and contain a host")
    if re.search(r"[/?]", rest):
        raise invalid("EMAIL_URL", "must not contain a path or a query after the host and port")
    environ_scheme, port, backend = EMAIL_SCHEMES[scheme]
    try:
        config: dict[str, Any] = dict(environ.Env.email_url_config(f"{environ_scheme}://{rest}"))
    except (ValueError, ImproperlyConfigured):
        raise invalid("EMAIL_URL", "is not a valid URL of a mail server") from None
    config.pop("EMAIL_FILE_PATH", None)
    return config | {"EMAIL_PORT": config.get("EMAIL_PORT") or port, "EMAIL_BACKEND": backend}


def read_from_email(default: str) -> str:
    """Read DEFAULT_FROM_EMAIL: an address, or a name and an address in angle brackets."""
    sender = read_string("DEFAULT_FROM_EMAIL", default)
    try:
        validate_email(parseaddr(sender)[1])
    except ValidationError:
        raise invalid(
            "DEFAULT_FROM_EMAIL", "must be an email address, such as Console <ops@example.com>"
        ) from None
    if not sender.isprintable():
        raise invalid("DEFAULT_FROM_EMAIL", "must be a single line")
    return sender


def read_host_url(default: str) -> str:
    """Read HOST_URL: scheme, host and optional port, without a path."""
    url = read_string("HOST_URL", default).rstrip("/").lower()
    _split_url("HOST_URL", url)
    if not HOST_URL_PATTERN.fullmatch(url):
        raise invalid("HOST_URL", "must be like https://console.example.com, without a path")
    return url


def read_client_address_key() -> str:
    """Read CLIENT_ADDRESS_KEY: the key in `request.META` of the client's IP address."""
    key = read_string("CLIENT_ADDRESS_KEY", "REMOTE_ADDR")
    if not re.fullmatch(r"REMOTE_ADDR|HTTP_[A-Z0-9_]+", key):
        raise invalid(
            "CLIENT_ADDRESS_KEY", "must be REMOTE_ADDR or a header such as HTTP_X_REAL_IP"
        )
    return key
