"""Settings of the app from environment variables: valid, unknown and malformed values."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from opsconsole.env_settings import read_env_settings


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("RESET_TIMEOUT", "600", 600),
        ("BACKOFF_BASE", "0.5", 0.5),
        ("MAIL_SUMMARY", "no", False),
        ("APPROVAL_ABOVE", "1000", 1000),
        ("APPROVAL_ABOVE", "", None),
        ("USER_LANGUAGE_FIELD", "locale", "locale"),
    ],
)
def test_valid_values_are_converted(monkeypatch, name, value, expected):
    monkeypatch.setenv(f"TASKS_ADMIN_{name}", value)

    assert read_env_settings()[f"TASKS_ADMIN_{name}"] == expected


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
def test_unknown_and_malformed_settings_are_rejected(monkeypatch, name, value):
    monkeypatch.setenv(f"TASKS_ADMIN_{name}", value)

    with pytest.raises(ImproperlyConfigured, match=f"TASKS_ADMIN_{name}"):
        read_env_settings()
