"""Places at which a test can kill the process. They do nothing in an installation.

`OPSCONSOLE_FAILPOINT=NAME:TIMES:DIRECTORY` ends the first TIMES processes that reach NAME, as
SIGKILL does: nothing is closed, nothing is said. DIRECTORY holds the count.
"""

import os
import signal
from pathlib import Path

_NAME, _, _REST = os.environ.get("OPSCONSOLE_FAILPOINT", "").partition(":")


def reach(name: str) -> None:
    """Die here if a test said so."""
    if name != _NAME:
        return
    times, _, directory = _REST.partition(":")
    for number in range(int(times)):
        try:
            Path(directory, f"{name}-{number}").touch(exist_ok=False)
        except FileExistsError:
            continue
        os.kill(os.getpid(), signal.SIGKILL)
