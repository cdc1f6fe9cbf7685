"""The app's own settings from the environment: `TASKS_ADMIN_<NAME>`, where it is one value."""

import os
from typing import Any, get_type_hints

from opsconsole.environment import flag, refuse
from tasks_admin.lib.conf import Settings

PREFIX = "TASKS_ADMIN_"


def env_settings() -> dict[str, Any]:
    """Return the Django settings that the environment gives; refuses unknown and malformed ones."""
    kinds = get_type_hints(Settings)
    found = {}
    for variable in sorted(os.environ):
        if not variable.startswith(PREFIX):
            continue
        kind = kinds.get(variable.removeprefix(PREFIX))
        if kind not in (int, float, bool, str, int | None):
            raise refuse(variable, "is not a setting that the environment can give")
        found[variable] = _read(variable, kind)
    return found


def _read(variable: str, kind: Any) -> Any:
    if kind is bool:
        return flag(variable)
    value = os.environ[variable].strip()
    if kind == int | None and not value:
        return None
    try:
        number = str(value) if kind is str else float(value) if kind is float else int(value)
    except ValueError:
        raise refuse(variable, "must be a number") from None
    if not isinstance(number, str) and not 0 <= number < 1e12:
        raise refuse(variable, "must be 0 or more")
    return number
