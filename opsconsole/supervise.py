"""Run a command, restart it when it exits, and stop it when the development server ends.

    python -m opsconsole.supervise COMMAND…

honcho stops all processes when one of them exits, and cannot stop any when it is killed with
SIGKILL. Therefore, the development server holds a POSIX lock, which the kernel releases however the
server ends (and which, unlike flock, child processes do not inherit). Each supervisor waits for
that lock and then stops its command. A command that exits is restarted, as systemd would do: a
worker may exit when its broker does.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time

#: The path of the development server's lock. If unset, the command runs without a supervisor.
LOCK_VARIABLE = "OPSCONSOLE_DEVSERVER_LOCK"
#: Seconds between SIGTERM and SIGKILL; honcho kills a supervisor after five.
TERMINATE_TIMEOUT = 4.0
#: Seconds before a restart: twice as long each time, up to the maximum. After a run that was
#: longer than the maximum, the delay is the minimum again.
MIN_RESTART_DELAY, MAX_RESTART_DELAY = 1.0, 30.0


class Supervisor:
    """Keeps one command running until it is stopped."""

    def __init__(self, command: list[str]) -> None:
        self.command = command
        self.stopping = threading.Event()
        self.process: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """Keep the command running until `stopping` is set; return its last exit code."""
        delay = MIN_RESTART_DELAY
        while True:
            started = time.monotonic()
            self.process = subprocess.Popen(self.command, start_new_session=True)
            while self.process.poll() is None and not self.stopping.is_set():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(0.2)
            stop_process(self.process)
            if self.stopping.is_set():
                return self.process.returncode
            lasted = time.monotonic() - started > MAX_RESTART_DELAY
            delay = MIN_RESTART_DELAY if lasted else min(delay * 2, MAX_RESTART_DELAY)
            print(
                f"Process exited with code {self.process.returncode}. Restarting in {delay:.0f} s.",
                flush=True,
            )
            if self.stopping.wait(delay):
                return self.process.returncode

    def watch_lock(self, path: str) -> None:
        """Set `stopping` as soon as the development server releases its lock."""
        with open(path) as file:
            fcntl.lockf(file, fcntl.LOCK_SH)
        self.stopping.set()


def stop_process(process: subprocess.Popen[bytes]) -> None:
    """Terminate the process if it is running, then kill the rest of its process group."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(TERMINATE_TIMEOUT)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def main(command: list[str]) -> int:
    """Supervise the command; without a development server, replace this process by it."""
    lock = os.environ.get(LOCK_VARIABLE)
    if not lock:
        os.execvp(command[0], command)
    supervisor = Supervisor(command)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stopping.set())
    threading.Thread(target=supervisor.watch_lock, args=(lock,), daemon=True).start()
    return supervisor.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
