"""The email backend in Django's settings: `MAILERS` from Django 6.1 on, `EMAIL_…` before."""

from typing import Any

import django
from django.conf import settings as django_settings
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend


def backend_path() -> str:
    """The path of the backend's class; empty if there is none."""
    if django.VERSION >= (6, 1):
        return str(django_settings.MAILERS.get("default", {}).get("BACKEND", ""))
    return str(django_settings.EMAIL_BACKEND)


def backend_options() -> dict[str, Any]:
    """The options of the settings: `host`, `port`, `username`, `password`, `timeout` and so on."""
    if django.VERSION >= (6, 1):
        return dict(django_settings.MAILERS.get("default", {}).get("OPTIONS", {}))
    names = {"username": "host_user", "password": "host_password"}
    every = ("host", "port", "username", "password", "use_tls", "use_ssl", "timeout")
    return {
        name: getattr(django_settings, f"EMAIL_{names.get(name, name).upper()}") for name in every
    }


def make_backend() -> BaseEmailBackend:
    """A backend with the options of the settings. It is not connected."""
    if django.VERSION >= (6, 1):
        mailers: Any = getattr(mail, "mailers")  # noqa: B009 (unknown to the types of 5.2)
        backend: BaseEmailBackend = mailers["default"]
        return backend
    return mail.get_connection()
