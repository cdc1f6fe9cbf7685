"""Sessions in the database, whose keys are looked up only when they can be keys."""

from typing import Any

from django.contrib.sessions.backends.db import SessionStore as DatabaseStore


class SessionStore(DatabaseStore):
    """Django's; a cookie with a NUL in it would otherwise end in PostgreSQL's error on any page."""

    def _validate_session_key(self, key: Any) -> bool:
        plausible = super()._validate_session_key(key)  # type: ignore[misc]
        return bool(plausible and key.isascii() and key.isalnum())
