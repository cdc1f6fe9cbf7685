"""Flower, an independent client: what it says of the workers must be what we say."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from typing import Any

from tests.support.ports import free_port
from tests.support.stack import until


class Flower:
    """Flower as a process of its own, that knows nothing of the project but its broker."""

    def __init__(self, broker: str) -> None:
        self.port = free_port()
        self.directory = tempfile.TemporaryDirectory()
        alone = {"PATH": os.environ["PATH"], "FLOWER_UNAUTHENTICATED_API": "1"}
        command = [sys.executable, "-m", "celery", "--broker", broker, "flower"]
        command += [f"--port={self.port}", "--address=127.0.0.1", "--logging=error"]
        command += ["--enable_events=False"]  # it shall look, and change nothing
        self.process = subprocess.Popen(command, cwd=self.directory.name, env=alone)

    def workers(self) -> dict[str, Any]:
        """Its report after a refresh of all workers; empty while it is unreachable."""
        address = f"http://127.0.0.1:{self.port}/api/workers?refresh=1"
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=60) as answer:
            return dict(json.load(answer))
        return {}

    def knows(self, *names: str) -> None:
        """Wait until it knows these workers."""
        until(lambda: set(names) <= self.workers().keys(), f"Flower knows {names}")

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        self.directory.cleanup()
