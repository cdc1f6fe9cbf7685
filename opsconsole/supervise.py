"""Run a command, again when it ends by itself, and never for longer than `make run` runs.

    python -m opsconsole.supervise COMMAND…

honcho ends everything when one process ends, and can't end its processes when it is killed with
SIGKILL itself. So the runner holds a POSIX lock, which the kernel releases however the runner ends
(and which, unlike flock, forks don't inherit); the tether waits for that lock and then ends its
command. What ends by itself is started again, as systemd would: a worker may die with its broker.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time

#: The path of the runner's lock. Unset: nobody to be tethered to, the command simply runs.
LOCK_VARIABLE = "OPSCONSOLE_RUNNER_LOCK"
#: Seconds between asking and killing; honcho itself kills after five.
GRACE = 4.0
#: Seconds before a command is started again: doubled each time, up to LONGEST.
PAUSE, LONGEST = 1.0, 30.0


class Tether:
    """One command, kept alive until told to stop."""

    def __init__(self, command: list[str]) -> None:
        self.command = command
        self.stopping = threading.Event()
        self.child: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """Keep the command running; return its last exit code once told to stop."""
        pause = PAUSE
        while True:
            begun = time.monotonic()
            self.child = subprocess.Popen(self.command, start_new_session=True)
            while self.child.poll() is None and not self.stopping.is_set():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.child.wait(0.2)
            end(self.child)
            if self.stopping.is_set():
                return self.child.returncode
            pause = PAUSE if time.monotonic() - begun > LONGEST else min(pause * 2, LONGEST)
            print(f"Ended by itself ({self.child.returncode}): again in {pause:.0f} s.", flush=True)
            if self.stopping.wait(pause):
                return self.child.returncode

    def watch(self, lock: str) -> None:
        """Stop as soon as the runner no longer holds its lock."""
        with open(lock) as file:
            fcntl.lockf(file, fcntl.LOCK_SH)
        self.stopping.set()


def end(child: subprocess.Popen[bytes]) -> None:
    """Ask the child to stop if it runs; then kill all that it started and did not end."""
    if child.poll() is None:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def main(command: list[str]) -> int:
    """Run the command; without a runner, become it."""
    lock = os.environ.get(LOCK_VARIABLE)
    if not lock:
        os.execvp(command[0], command)
    tether = Tether(command)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: tether.stopping.set())
    threading.Thread(target=tether.watch, args=(lock,), daemon=True).start()
    return tether.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
