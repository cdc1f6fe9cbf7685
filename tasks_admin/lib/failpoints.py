"""Named places in the code at which a test can kill the process. No effect in production.

`OPSCONSOLE_FAILPOINT=NAME:TIMES:DIRECTORY` kills the first TIMES processes that reach NAME, by
SIGKILL: no handler runs. DIRECTORY contains the count.
"""

import os
import signal
from pathlib import Path

_NAME, _, _REST = os.environ.get("OPSCONSOLE_FAILPOINT", "").partition(":")


def reach(name: str) -> None:
    """Kill this process if the environment names this failpoint."""
    if name != _NAME:
        return
    times, _, directory = _REST.partition(":")
    for number in range(int(times)):
        try:
            Path(directory, f"{name}-{number}").touch(exist_ok=False)
        except FileExistsError:
            continue
        os.kill(os.getpid(), signal.SIGKILL)
