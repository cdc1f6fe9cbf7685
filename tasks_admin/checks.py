"""System checks: one for each misconfiguration that can be detected at startup."""

from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings as django_settings
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.http.request import split_domain_port, validate_host

from tasks_admin.integrations.mail import transports
from tasks_admin.lib.conf import Settings, settings

#: The minimum length of the token for the metrics page.
MIN_TOKEN_LENGTH = 20
#: The time limit of the tasks that send emails, in seconds.
MAX_EMAIL_TIMEOUT = 15


def register() -> None:
    """Register the checks."""
    for check in (
        check_host_url,
        check_accept_content,
        check_import_export_permissions,
        check_email_timeout,
        check_limits,
        check_metrics_token,
    ):
        checks.register(check)


def check_host_url(**kwargs: Any) -> list[CheckMessage]:
    """HOST_URL is an absolute URL of this site, and uses HTTPS."""
    url = _parse(getattr(django_settings, "HOST_URL", None))
    if url is None:
        text = "The HOST_URL setting is not a scheme and a host, as links in emails require."
        hint = 'Set HOST_URL to the base URL of the site, such as "https://console.example.com".'
        return [Error(text, hint=hint, id="tasks_admin.E001")]
    problems: list[CheckMessage] = []
    host = split_domain_port(url.netloc)[0]
    if not validate_host(host, django_settings.ALLOWED_HOSTS or ["localhost", "127.0.0.1"]):
        text = "ALLOWED_HOSTS does not contain the host of HOST_URL: links in emails do not work."
        hint = f"Add {host!r} to ALLOWED_HOSTS, or correct HOST_URL."
        problems.append(Error(text, hint=hint, id="tasks_admin.E002"))
    local = url.hostname in {"localhost", "127.0.0.1", "::1"}
    if url.scheme == "http" and not local and not django_settings.DEBUG:
        text = "HOST_URL does not use HTTPS: the links in reset emails are not encrypted."
        hint = "Serve the site over HTTPS, and set HOST_URL to a URL that starts with https://."
        problems.append(checks.Warning(text, hint=hint, id="tasks_admin.W001"))
    return problems


def _parse(url: object) -> SplitResult | None:
    """Split a URL that consists of a scheme, a host and at most a port; None for any other."""
    try:
        parts = urlsplit(str(url))
        complete = parts.port != 0 and f"{parts.scheme}://{parts.netloc}" == url
    except ValueError:
        return None
    usable = parts.scheme in {"http", "https"} and split_domain_port(parts.netloc)[0]
    return parts if complete and usable else None


def check_accept_content(**kwargs: Any) -> list[CheckMessage]:
    """Workers accept no messages except JSON."""
    accepted = set(getattr(django_settings, "CELERY_ACCEPT_CONTENT", ["json"]))
    if accepted <= {"json", "application/json"}:
        return []
    text = (
        "CELERY_ACCEPT_CONTENT contains formats other than JSON: a pickled message can execute "
        "arbitrary code in a worker."
    )
    hint = 'Set CELERY_ACCEPT_CONTENT = ["json"].'
    return [Error(text, hint=hint, id="tasks_admin.E003")]


def check_import_export_permissions(**kwargs: Any) -> list[CheckMessage]:
    """Import and export require a permission. By default, django-import-export requires none."""
    names = ("IMPORT_EXPORT_IMPORT_PERMISSION_CODE", "IMPORT_EXPORT_EXPORT_PERMISSION_CODE")
    return [
        Error(
            f"{name} is not set: all staff can import and export, whatever their permissions.",
            hint=f'Set {name} to the codename of a permission, such as "change".',
            id="tasks_admin.E004",
        )
        for name in names
        if not getattr(django_settings, name, None)
    ]


def check_email_timeout(**kwargs: Any) -> list[CheckMessage]:
    """The mail server's timeout is shorter than the time limit of the tasks."""
    if 0 < (transports.configured().timeout() or 0) < MAX_EMAIL_TIMEOUT:
        return []
    text = (
        f"The timeout of the mail server is unset, or not below {MAX_EMAIL_TIMEOUT} seconds: a "
        "mail server that does not reply blocks a worker until the task's time limit."
    )
    hint = "Set EMAIL_TIMEOUT = 10 (since Django 6.1: the option timeout in MAILERS)."
    return [checks.Warning(text, hint=hint, id="tasks_admin.W002")]


def check_limits(**kwargs: Any) -> list[CheckMessage]:
    """TASKS_ADMIN_LIMITS has a valid limit for each scope."""
    limits = settings.LIMITS if isinstance(settings.LIMITS, dict) else {}
    invalid = sorted(scope for scope in Settings.LIMITS if not _is_limit(limits.get(scope)))
    if not invalid:
        return []
    text = (
        "TASKS_ADMIN_LIMITS, which replaces all default limits, has missing or invalid limits: "
        f"{', '.join(invalid)}."
    )
    hint = f"Set each of {', '.join(invalid)} to a pair (number of attempts, seconds)."
    return [Error(text, hint=hint, id="tasks_admin.E005")]


def _is_limit(value: Any) -> bool:
    match value:
        case (int(allowed), int(seconds)):
            return allowed >= 0 and seconds > 0
    return False


def check_metrics_token(**kwargs: Any) -> list[CheckMessage]:
    """The token for the metrics page is too long to be guessed."""
    if not settings.METRICS_TOKEN or len(str(settings.METRICS_TOKEN)) >= MIN_TOKEN_LENGTH:
        return []
    text = (
        f"TASKS_ADMIN_METRICS_TOKEN is shorter than {MIN_TOKEN_LENGTH} characters and might be "
        "guessed."
    )
    hint = "Generate a longer token, for example with: openssl rand -hex 20"
    return [Error(text, hint=hint, id="tasks_admin.E006")]
