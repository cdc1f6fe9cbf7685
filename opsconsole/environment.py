"""The environment variables, read in one place and refused loudly when malformed."""

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
DATABASES = ("postgres", "postgresql", "psql", "pgsql", "sqlite")
BROKERS = ("redis", "rediss", "redis+socket", "sentinel", "amqp", "amqps", "pyamqp")
#: Implicit TLS is spelt smtps:// everywhere but in django-environ, where it means STARTTLS.
SMTP = {"smtp": ("smtp", 25), "smtps": ("smtp+ssl", 465), "smtp+tls": ("smtp+tls", 587)}
#: Scheme, host and port, in the form in which Django compares hosts.
HOST_URL = re.compile(r"https?://([a-z0-9.-]+|\[[a-f0-9:.]+\])(:[0-9]{1,5})?")


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where this instance lives: its directory, and its three ports on loopback."""

    data_dir: Path
    port: int

    @property
    def broker_port(self) -> int:
        """The embedded broker's port."""
        return self.port + 1

    @property
    def smtp_port(self) -> int:
        """The mail catcher's port."""
        return self.port + 2


def refuse(name: str, why: str) -> ImproperlyConfigured:
    """Return the error to raise for a variable; its value may be secret and is not shown."""
    return ImproperlyConfigured(f"{name} {why}. Correct it in the environment and start again.")


def text(name: str, default: str = "") -> str:
    """Read a text just as it is; empty is unset."""
    return os.environ.get(name) or default


def listed(name: str, default: Iterable[str] = ()) -> list[str]:
    """Read texts with commas between them, and blanks around these for who reads it."""
    items = [item.strip() for item in text(name).split(",")]
    return [item for item in items if item] or list(default)


def one_of(name: str, known: Collection[str], default: str) -> str:
    """Read one of a few known words."""
    value = text(name, default)
    if value not in known:
        some = f" one of {', '.join(sorted(known))}" if len(known) < 10 else " a known one"
        raise refuse(name, f"is {value[:40]!r}, but must be{some}")
    return value


def _split(name: str, url: str) -> SplitResult:
    """Split an address; a password with `/?#@` in it, as it is, would turn into another host."""
    wrong = refuse(name, "is not an address, or holds characters that must be percent-encoded")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong from None
    strays = parts.fragment or "@" in f"{parts.path}{parts.query}"
    if port == 0 or strays or " " in url or not url.isprintable():
        raise wrong
    return parts


def places() -> Places:
    """Read PORT and DATA_DIR."""
    port = text("PORT", "8000")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) <= 65533:
        raise refuse("PORT", f"is {port!r}, but must be a number from 1 to 65533")
    try:
        data_dir = Path(text("DATA_DIR") or BASE_DIR / "var").expanduser().resolve()
    except RuntimeError:  # no such user as in ~user, or a link that leads to itself
        raise refuse("DATA_DIR", "leads nowhere") from None
    return Places(data_dir=data_dir, port=int(port))


def flag(name: str) -> bool:
    """Read a yes or no; unset is no."""
    value = os.environ.get(name, "").strip().lower()
    if value not in {"", "0", "1", "no", "yes", "false", "true", "off", "on"}:
        raise refuse(name, "must be 1 or 0")
    return value in {"1", "yes", "true", "on"}


def secret_key(data_dir: Path) -> str:
    """Read SECRET_KEY, or the key that was made on the first run and kept in DATA_DIR."""
    if key := text("SECRET_KEY").strip():
        return key
    for name in ("DATABASE_URL", "CELERY_BROKER_URL"):
        if text(name):
            raise refuse("SECRET_KEY", f"must be set when {name} is")
    path = data_dir / "secret_key"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _write_once(path, secrets.token_urlsafe(50))
        return path.read_text()
    except OSError as error:
        raise refuse("DATA_DIR", f"can't be used: {error.strerror} ({error.filename})") from None


def _write_once(path: Path, text: str) -> None:
    """Write a file that only we may read; of two processes that try at once, one wins."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    try:
        os.link(draft, path)  # atomic, and refused when somebody else was first
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def database(data_dir: Path) -> dict[str, Any]:
    """Read DATABASE_URL; SQLite in DATA_DIR when it is unset."""
    url = text("DATABASE_URL") or f"sqlite:///{data_dir / 'console.sqlite3'}"
    if url.partition("://")[0] not in DATABASES:
        raise refuse("DATABASE_URL", "must begin with postgres:// or sqlite://")
    try:
        config: dict[str, Any] = dict(environ.Env.db_url_config(url))
    except (ValueError, KeyError, ImproperlyConfigured):
        raise refuse("DATABASE_URL", "is not a postgres:// or sqlite:// address") from None
    engine = config.get("ENGINE", "")
    if not engine.endswith((".postgresql", ".sqlite3")) or not config.get("NAME"):
        raise refuse("DATABASE_URL", "must be a postgres:// or sqlite:// address with a name")
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


def broker_url(default: str) -> str:
    """Read CELERY_BROKER_URL."""
    url = text("CELERY_BROKER_URL", default)
    if url.partition("://")[0] not in BROKERS or "://" not in url:
        raise refuse("CELERY_BROKER_URL", "must begin with redis:// or amqp://")
    for one in url.split(";"):  # sentinels, or brokers to fail over to
        _split("CELERY_BROKER_URL", one if "://" in one else f"//{one}")
    return url


def email(default: str) -> dict[str, Any]:
    """Read EMAIL_URL into Django's EMAIL_* settings."""
    url = text("EMAIL_URL", default)
    scheme, _separator, rest = url.partition("://")
    if scheme not in SMTP or not _split("EMAIL_URL", url).hostname:
        raise refuse(
            "EMAIL_URL", "must begin with smtp://, smtps:// or smtp+tls:// and name a host"
        )
    if re.search(r"[/?]", rest):
        raise refuse("EMAIL_URL", "must end behind the host and port")
    spelling, port = SMTP[scheme]
    try:
        config: dict[str, Any] = dict(environ.Env.email_url_config(f"{spelling}://{rest}"))
    except (ValueError, ImproperlyConfigured):
        raise refuse("EMAIL_URL", "is not an address of a mail server") from None
    config.pop("EMAIL_FILE_PATH", None)
    return config | {"EMAIL_PORT": config.get("EMAIL_PORT") or port}


def from_email(default: str) -> str:
    """Read DEFAULT_FROM_EMAIL: an address, or a name and an address in angle brackets."""
    sender = text("DEFAULT_FROM_EMAIL", default)
    try:
        validate_email(parseaddr(sender)[1])
    except ValidationError:
        raise refuse("DEFAULT_FROM_EMAIL", "must look like Console <ops@example.com>") from None
    if not sender.isprintable():
        raise refuse("DEFAULT_FROM_EMAIL", "must be one line")
    return sender


def host_url(default: str) -> str:
    """Read HOST_URL: scheme and host (and port), nothing behind them."""
    url = text("HOST_URL", default).rstrip("/").lower()
    _split("HOST_URL", url)
    if not HOST_URL.fullmatch(url):
        raise refuse("HOST_URL", "must look like https://console.example.com, and end there")
    return url


def client_address_key() -> str:
    """Read CLIENT_ADDRESS_KEY: where a request's `META` has the client's address."""
    key = text("CLIENT_ADDRESS_KEY", "REMOTE_ADDR")
    if not re.fullmatch(r"REMOTE_ADDR|HTTP_[A-Z0-9_]+", key):
        raise refuse("CLIENT_ADDRESS_KEY", "must be REMOTE_ADDR, or like HTTP_X_REAL_IP")
    return key
