"""A Python process that runs code on request: a test that asks it twice pays for one start."""

import json
import subprocess
import sys
from typing import Any

from opsconsole.environment import BASE_DIR

#: Runs each line of input, a JSON string of code, and replies with its output and its traceback.
LOOP = """
import contextlib, io, json, sys, traceback
names = {}
for line in sys.stdin:
    output, error = io.StringIO(), None
    with contextlib.redirect_stdout(output):
        try:
            exec(json.loads(line), names)
        except Exception:
            error = traceback.format_exc()
        finally:  # the database may be stopped, or its file replaced, before the next line
            if "django" in sys.modules:
                from django.db import connections
                connections.close_all()
    print("\\n" + json.dumps([output.getvalue(), error]), flush=True)
"""


class Shell:
    """A Python process with the environment of a project's processes."""

    def __init__(self, environment: dict[str, str], setup: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", LOOP],
            cwd=BASE_DIR, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.run(setup)

    def run(self, code: str) -> str:
        """Run code and return its output. An exception is an AssertionError with its traceback."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(code) + "\n")
        self.process.stdin.flush()
        while line := self.process.stdout.readline():
            if line.startswith("["):
                output, error = json.loads(line)
                assert error is None, error
                return str(output)
        raise AssertionError(f"the process ended while it ran: {code}")

    def run_json(self, code: str) -> Any:
        """Run code and return the JSON value that it printed last."""
        return json.loads(self.run(code).splitlines()[-1])

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression, by way of JSON."""
        return self.run_json(f"import json\nprint(json.dumps({expression}))")

    def close(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.communicate()
