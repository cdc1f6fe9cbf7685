"""Settings of the app from the environment: `TASKS_ADMIN_<NAME>`, if the setting is one value."""

import os
from typing import Any, get_type_hints

from opsconsole.environment import invalid, read_bool
from tasks_admin.lib.conf import Settings

PREFIX = "TASKS_ADMIN_"
MAX_NUMBER = 1e12


def read_env_settings() -> dict[str, Any]:
    """Return the app's settings that are set in the environment.

    Raises `ImproperlyConfigured` for an unknown setting or a malformed value.
    """
    types = get_type_hints(Settings)
    found = {}
    for variable in sorted(os.environ):
        if not variable.startswith(PREFIX):
            continue
        value_type = types.get(variable.removeprefix(PREFIX))
        if value_type not in (int, float, bool, str, int | None):
            raise invalid(variable, "is not a setting that can be set in the environment")
        found[variable] = _read_value(variable, value_type)
    return found


def _read_value(variable: str, value_type: Any) -> Any:
    if value_type is bool:
        return read_bool(variable)
    text = os.environ[variable].strip()
    if value_type == int | None and not text:
        return None
    if value_type is str:
        return text
    try:
        number = float(text) if value_type is float else int(text)
    except ValueError:
        raise invalid(variable, "must be a number") from None
    if not 0 <= number < MAX_NUMBER:
        raise invalid(variable, "must be 0 or more")
    return number
