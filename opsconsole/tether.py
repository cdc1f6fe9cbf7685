"""Run a command that must not outlive `make run`: `python -m opsconsole.tether COMMAND…`.

honcho can't end its processes when it is killed with SIGKILL itself. So the runner holds a POSIX
lock, which the kernel releases however the runner ends (and which, unlike flock, forks don't
inherit); the tether waits for that lock and then ends its command.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
import types

#: The path of the runner's lock. Unset: nobody to be tethered to, the command simply runs.
LOCK_VARIABLE = "OPSCONSOLE_RUNNER_LOCK"
#: Seconds between asking and killing; honcho itself kills after five.
GRACE = 4.0


def main(command: list[str]) -> int:
    """Run the command until it ends, is told to stop, or the runner is gone."""
    lock = os.environ.get(LOCK_VARIABLE)
    if not lock:
        os.execvp(command[0], command)
    child = subprocess.Popen(command, start_new_session=True)

    def stop(signum: int = 0, frame: types.FrameType | None = None) -> None:
        threading.Thread(target=end, args=(child,), daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    threading.Thread(target=watch, args=(lock, child), daemon=True).start()
    return child.wait()


def watch(lock: str, child: subprocess.Popen[bytes]) -> None:
    """End the child as soon as the runner no longer holds its lock."""
    with open(lock) as file:
        fcntl.lockf(file, fcntl.LOCK_SH)
    end(child)


def end(child: subprocess.Popen[bytes]) -> None:
    """Ask the child to stop; kill it and all that it started when it does not."""
    child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(GRACE)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
