"""Database sessions that reject malformed session keys before the query."""

from typing import Any

from django.contrib.sessions.backends.db import SessionStore as DatabaseStore


class SessionStore(DatabaseStore):
    """Django's store. PostgreSQL would raise an error for a cookie that contains NUL."""

    def _validate_session_key(self, key: Any) -> bool:
        valid = super()._validate_session_key(key)  # type: ignore[misc]
        return bool(valid and key.isascii() and key.isalnum())
