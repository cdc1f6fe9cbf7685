"""The app's settings from the environment."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from opsconsole.env_settings import env_settings


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("RESET_TIMEOUT", "600", 600),
        ("BACKOFF_BASE", "0.5", 0.5),
        ("MAIL_SUMMARY", "no", False),
        ("APPROVAL_ABOVE", "1000", 1000),
        ("APPROVAL_ABOVE", "", None),
        ("USER_LANGUAGE_FIELD", "locale", "locale"),
    ],
)
def test_it_reads(monkeypatch, name, value, read):
    monkeypatch.setenv(f"TASKS_ADMIN_{name}", value)

    assert env_settings()[f"TASKS_ADMIN_{name}"] == read


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RESET_TIMEOUT", "soon"),
        ("RESET_TIMEOUT", "-1"),
        ("RESET_TIMEOUT", ""),
        ("BACKOFF_BASE", "nan"),
        ("MAIL_SUMMARY", "perhaps"),
        ("LIMITS", "{}"),
        ("RESET_TIMOUT", "600"),
    ],
)
def test_it_refuses(monkeypatch, name, value):
    monkeypatch.setenv(f"TASKS_ADMIN_{name}", value)

    with pytest.raises(ImproperlyConfigured, match=f"TASKS_ADMIN_{name}"):
        env_settings()
