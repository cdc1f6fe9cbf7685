"""Storms: an operation while its processes are killed, and what must hold afterwards."""

import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes, policy
from typing import Any

from tests.support.http_client import HTTPClient
from tests.support.stack import Stack, until

USERS = "/admin/auth/user/?q=demo-0"
PASSWORD = "a password for tests"
#: Processes of a worker.
PROCESSES = 2


@dataclass
class Scenario:
    """An operation on its way, and how often something was killed that could double a mail."""

    stack: Stack
    visitor: HTTPClient
    kills: int = 0

    @classmethod
    def begin(cls, stack: Stack, **answers: Any) -> "Scenario":
        """Select everybody who matches, and confirm, with what is filled in there."""
        visitor = HTTPClient(stack.url)
        visitor.sign_in("admin", PASSWORD)
        visitor.run_action(
            USERS, "send_reset_email", "Scenario", answers, select_across=1, _selected_action=1
        )
        return cls(stack, visitor)

    @property
    def key(self) -> int:
        """The operation's number."""
        found = re.search(r"/operation/(\d+)/", self.visitor.current_url)
        assert found, self.visitor.text
        return int(found[1])

    def at(self, mails: int, fault: Callable[[], None]) -> None:
        """Wait until so many mails are out, then do something bad."""

        def reached() -> bool:
            self.tend()
            return len(self.stack.emails()) >= mails

        until(reached, lambda: f"{mails} mails\n{self.stack.logs()}", 300)
        fault()

    def tend(self) -> None:
        """Start again what ended by itself, as the tether does."""
        for name, process in list(self.stack.processes.items()):
            if process.poll() is not None and name in {"worker", "dispatcher", "web"}:
                self.kills += name == "worker"
                self.stack.start(name)

    def kill_worker(self) -> None:
        """SIGKILL the worker with all its processes, and start another."""
        self.stack.kill("worker")
        self.kills += 1
        self.stack.start("worker")

    def cut_mail(self, seconds: float) -> None:
        """Kill the mail server, and start it again after a while."""
        self.stack.kill("mail")
        self.kills += 1  # whoever sent just then has no answer
        time.sleep(seconds)
        self.stack.start("mail")

    def targets(self) -> list[list[Any]]:
        """Every target: subject, state, reason, whether it may have been sent twice, its end."""
        fields = "'subject', 'state', 'reason', 'uncertain', 'tries'"
        rows = f"Target.objects.filter(operation={self.key}).values_list({fields})"
        return self.stack.evaluate(f"[list(row) for row in {rows}]")  # type: ignore[no-any-return]

    def wait(self, patience: float = 400) -> None:
        """Wait for the operation's end; nobody lends a hand."""
        ended = f"Operation.objects.filter(pk={self.key}).exclude(finished_at=None).count()"

        def over() -> Any:
            self.tend()
            return _patiently(self.stack, ended)

        until(over, lambda: f"the end\n{self.stack.logs()}", patience)

    def check(self, expected: int) -> Counter[str]:
        """The invariants. Returns the targets by state."""
        targets = self.targets()
        address = dict(self.stack.evaluate("[[str(u.pk), u.email] for u in User.objects.all()]"))
        mails = emails_by_recipient(self.stack)
        states = Counter(state for _subject, state, *_ in targets)
        assert len(targets) == len({subject for subject, *_ in targets}) == expected
        assert not set(states) & {"waiting", "queued", "running"}, states
        surplus = 0
        for subject, state, reason, uncertain, _tries in targets:
            count = mails[address[subject]]
            assert (count >= 1) == (state == "done"), (subject, state, reason, count)
            surplus += max(count - 1, 0)
            assert count <= 1 or uncertain, (subject, count, "not said to be doubtful")
        assert surplus <= self.kills * PROCESSES, (surplus, self.kills)
        return states


def _patiently(stack: Stack, expression: str) -> Any:
    try:
        return stack.evaluate(expression)
    except AssertionError:  # the database is away just now
        return None


def emails_by_recipient(stack: Stack) -> Counter[str]:
    """The number of reset emails that each address received."""
    mails = (
        message_from_bytes(path.read_bytes(), policy=policy.default) for path in stack.emails()
    )
    return Counter(str(mail["To"]) for mail in mails if mail["Subject"] == "Reset your password")
