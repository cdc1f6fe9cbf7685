"""Locations: where in the project's own code a task failed, read from the traceback's text."""

import re
import sys

from tasks_admin.lib import tracebacks

#: Characters at the end of a traceback that are read: the innermost frames are there.
MAX_TRACEBACK_LENGTH = 64_000
MAX_LOCATION_LENGTH = 255
#: Between an exception and the one that it caused.
_CHAINED = re.compile(
    r"^[ |]*(?:The above exception was the direct cause of|During handling of the above exception)",
    re.MULTILINE,
)
#: The first exception inside an exception group.
_NESTED = re.compile(r"^[ |]*\+-\+-", re.MULTILINE)
#: The head of a traceback, and its frames: they are indented deeper than the message.
_FRAMES = re.compile(
    r"^[ |+]*(?:Exception Group )?Traceback \(most recent call last\):\n((?:[ |]{2}[^\n]*\n?)*)",
    re.MULTILINE,
)


def location_of(traceback: str) -> str:
    """Return `module:function` of the innermost frame of the project's own code, or ''.

    Of chained exceptions the last one counts; an earlier one if the last was raised entirely
    within libraries. Line numbers are ignored: they change with every edit above them.
    """
    for part in reversed(_CHAINED.split(traceback[-MAX_TRACEBACK_LENGTH:])):
        outer = _NESTED.split(part, maxsplit=1)[0]
        head = _FRAMES.search(outer)
        frames = tracebacks.frames(head[1] if head else outer)
        own = [(file, function) for file, function, library in frames if not library]
        if own:
            file, function = own[-1]
            found = f"{module_name(file)}:{function.strip()}"
            return found.replace("\x00", "")[:MAX_LOCATION_LENGTH]
    return ""


def module_name(file: str) -> str:
    """The name by which a file is imported: the same wherever the project is installed."""
    path = file.replace("\\", "/")
    roots = [f"{root.rstrip('/')}/" for root in sys.path if root.startswith("/")]
    root = max((root for root in roots if path.startswith(root)), key=len, default="")
    inside = path[len(root) :] if root else "/".join(path.split("/")[-2:])
    return inside.removesuffix(".py").removesuffix("/__init__").replace("/", ".").strip(".")
