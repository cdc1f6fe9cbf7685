"""System checks: every misconfiguration that can be seen at start, with what to do about it."""

from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings as django_settings
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.http.request import split_domain_port, validate_host

from tasks_admin.integrations.mail import transports
from tasks_admin.lib.conf import Settings, settings

#: Characters of the token that opens the metrics, at least.
SHORTEST_TOKEN = 20


def connect() -> None:
    """Register the checks."""
    for check in (host_url, serializers, import_export_permissions, email_timeout, limits, token):
        checks.register(check)


def host_url(**kwargs: Any) -> list[CheckMessage]:
    """HOST_URL is absolute, ours, and safe."""
    url = _split(getattr(django_settings, "HOST_URL", None))
    if url is None:
        hint = 'Set HOST_URL to what links in mails begin with, like "https://console.example.com".'
        return [Error("HOST_URL is not scheme and host.", hint=hint, id="tasks_admin.E001")]
    problems: list[CheckMessage] = []
    host = split_domain_port(url.netloc)[0]
    if not validate_host(host, django_settings.ALLOWED_HOSTS or ["localhost", "127.0.0.1"]):
        hint = f"Add {host!r} to ALLOWED_HOSTS, or correct HOST_URL."
        text = "The links in mails lead to a host that ALLOWED_HOSTS refuses."
        problems.append(Error(text, hint=hint, id="tasks_admin.E002"))
    local = url.hostname in {"localhost", "127.0.0.1", "::1"}
    if url.scheme == "http" and not local and not django_settings.DEBUG:
        hint = "Serve the console over HTTPS and begin HOST_URL with https://."
        text = "The links in mails, which let one choose a password, are not encrypted."
        problems.append(checks.Warning(text, hint=hint, id="tasks_admin.W001"))
    return problems


def _split(url: object) -> SplitResult | None:
    """An address of scheme and host (and port) alone; None when it is something else."""
    try:
        parts = urlsplit(str(url))
        whole = parts.port != 0 and f"{parts.scheme}://{parts.netloc}" == url
    except ValueError:
        return None
    usable = parts.scheme in {"http", "https"} and split_domain_port(parts.netloc)[0]
    return parts if whole and usable else None


def serializers(**kwargs: Any) -> list[CheckMessage]:
    """Nothing but JSON is read from the broker: a pickle can run code."""
    accepted = set(getattr(django_settings, "CELERY_ACCEPT_CONTENT", ["json"]))
    if accepted <= {"json", "application/json"}:
        return []
    hint = 'Set CELERY_ACCEPT_CONTENT = ["json"].'
    return [Error("Workers accept more than JSON.", hint=hint, id="tasks_admin.E003")]


def import_export_permissions(**kwargs: Any) -> list[CheckMessage]:
    """django-import-export lets every member of staff in while its permission codes are unset."""
    names = ("IMPORT_EXPORT_IMPORT_PERMISSION_CODE", "IMPORT_EXPORT_EXPORT_PERMISSION_CODE")
    return [
        Error(
            f"{name} is not set: staff without any permission can import and export.",
            hint=f'Set {name} to a permission\'s codename, like "change".',
            id="tasks_admin.E004",
        )
        for name in names
        if not getattr(django_settings, name, None)
    ]


def email_timeout(**kwargs: Any) -> list[CheckMessage]:
    """A mail server that hangs must not hold a worker for ever."""
    if 0 < (transports.configured().timeout() or 0) < 15:
        return []
    hint = (
        "Set EMAIL_TIMEOUT (from Django 6.1 on: MAILERS' option timeout) to 10: the reset task is "
        "stopped after 15 seconds."
    )
    text = "The mail server's timeout is unset or too long."
    return [checks.Warning(text, hint=hint, id="tasks_admin.W002")]


def limits(**kwargs: Any) -> list[CheckMessage]:
    """Every rate limit is there, and is a limit."""
    given = settings.LIMITS if isinstance(settings.LIMITS, dict) else {}
    wrong = sorted(scope for scope in Settings.LIMITS if not _is_limit(given.get(scope)))
    if not wrong:
        return []
    hint = (
        f"Give {', '.join(wrong)} a pair (how many, in how many seconds): TASKS_ADMIN_LIMITS "
        "replaces the defaults as a whole."
    )
    text = "TASKS_ADMIN_LIMITS lacks a limit."
    return [Error(text, hint=hint, id="tasks_admin.E005")]


def token(**kwargs: Any) -> list[CheckMessage]:
    """The token that opens the metrics can't be guessed."""
    if not settings.METRICS_TOKEN or len(str(settings.METRICS_TOKEN)) >= SHORTEST_TOKEN:
        return []
    hint = f"Make one of {SHORTEST_TOKEN} characters or more, for instance: openssl rand -hex 20"
    return [Error("TASKS_ADMIN_METRICS_TOKEN is short.", hint=hint, id="tasks_admin.E006")]


def _is_limit(value: Any) -> bool:
    match value:
        case (int(allowed), int(seconds)):
            return allowed >= 0 and seconds > 0
    return False
