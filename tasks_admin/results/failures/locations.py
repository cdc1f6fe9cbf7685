"""Places: where in the project's own code it failed, read from a traceback's text."""

import re
import sys

from tasks_admin.lib import tracebacks

#: Characters of a traceback that are read, at its end: there it failed.
READ = 64_000
#: Between an exception and the one that it led to.
_THEN = re.compile(
    r"^[ |]*(?:The above exception was the direct cause of|During handling of the above exception)",
    re.MULTILINE,
)
#: Where the exceptions inside of a group begin.
_INSIDE = re.compile(r"^[ |]*\+-\+-", re.MULTILINE)
#: The head of a traceback, and the frames below it: they stand deeper than what was said.
_FRAMES = re.compile(
    r"^[ |+]*(?:Exception Group )?Traceback \(most recent call last\):\n((?:[ |]{2}[^\n]*\n?)*)",
    re.MULTILINE,
)


def place(traceback: str) -> str:
    """Return `module:function` of the innermost frame of the project's own code, or ''.

    Of chained exceptions that is the last one's, and an earlier one's when all of that was raised
    inside of libraries. Lines are left out: they move with every edit above them.
    """
    for part in reversed(_THEN.split(traceback[-READ:])):
        outer = _INSIDE.split(part, maxsplit=1)[0]
        head = _FRAMES.search(outer)
        frames = tracebacks.frames(head[1] if head else outer)
        own = [(file, function) for file, function, library in frames if not library]
        if own:
            file, function = own[-1]
            return f"{module(file)}:{function.strip()}".replace("\x00", "")[:255]
    return ""


def module(file: str) -> str:
    """Name a file as an import would, so that it is the same wherever the project is installed."""
    path = file.replace("\\", "/")
    roots = [f"{root.rstrip('/')}/" for root in sys.path if root.startswith("/")]
    root = max((root for root in roots if path.startswith(root)), key=len, default="")
    inside = path[len(root) :] if root else "/".join(path.split("/")[-2:])
    return inside.removesuffix(".py").removesuffix("/__init__").replace("/", ".").strip(".")
