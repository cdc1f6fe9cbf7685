"""Chaos scenarios: an operation whose processes are killed, and the invariants that must hold."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email import message_from_bytes, policy
from typing import Any

from tests.support.http_client import HTTPClient
from tests.support.shared import ADMIN, PASSWORD
from tests.support.stack import Stack, until

USERS = "/admin/auth/user/?q=demo-0"
FAILED_RESULTS = "/admin/tasks_admin/result/?status=FAILURE"
ALL_ROWS = {"select_across": 1, "_selected_action": 1}
#: Processes of a worker.
PROCESSES = 2


def sign_in(stack: Stack) -> HTTPClient:
    """Return a client that is signed in as the superuser."""
    client = HTTPClient(stack.url)
    client.sign_in(ADMIN, PASSWORD)
    return client


def count_eligible(stack: Stack) -> int:
    """Return the number of sample users who can be sent a reset email."""
    stack.shell.run("from tests.support import sample_data")
    return int(stack.evaluate("sample_data.eligible_users().count()"))


def store_failures(stack: Stack, task: str, arguments: Iterable[int], *, queue: str) -> None:
    """Store a failed result of the task for each argument."""
    stack.shell.run(
        "from tests.support import sample_data\n"
        f"sample_data.store_failures({task!r}, {list(arguments)}, queue={queue!r})"
    )


@dataclass
class Scenario:
    """A running operation, and the number of kills that may have caused a second email."""

    stack: Stack
    client: HTTPClient
    kills: int = 0

    @classmethod
    def send_reset_emails(cls, stack: Stack, **answers: Any) -> "Scenario":
        """Select all sample users, and confirm with these answers to the form."""
        client = sign_in(stack)
        client.run_action(USERS, "send_reset_email", "A chaos test", answers, **ALL_ROWS)
        return cls(stack, client)

    @classmethod
    def retry_failures(cls, stack: Stack) -> "Scenario":
        """Select all failed results, and retry them."""
        client = sign_in(stack)
        client.run_action(FAILED_RESULTS, "retry_failed", "A chaos test", **ALL_ROWS)
        return cls(stack, client)

    @property
    def path(self) -> str:
        """The path of the operation's page."""
        found = re.search(r"/admin/tasks_admin/operation/\d+/", self.client.current_url)
        assert found, self.client.text
        return found[0]

    @property
    def operation_id(self) -> int:
        """The operation's primary key."""
        return int(self.path.split("/")[-2])

    def post(self, verb: str, **fields: Any) -> None:
        """Run a verb of the operation: pause, resume, throttle or abort."""
        self.client.get(self.path)
        self.client.post(f"{self.path}{verb}/", **fields)

    def after_emails(self, count: int, fault: Callable[[], None]) -> None:
        """Wait until so many emails were received, then inject the fault."""

        def reached() -> bool:
            self.restart_exited()
            return len(self.stack.emails()) >= count

        until(reached, lambda: f"{count} emails\n{self.stack.logs()}", 300)
        fault()

    def restart_exited(self) -> None:
        """Start processes again that ended by themselves, as the supervisor does."""
        for name, process in list(self.stack.processes.items()):
            if process.poll() is not None and name in {"worker", "dispatcher", "web"}:
                self.kills += name == "worker"
                self.stack.start(name)

    def restart(self, name: str) -> None:
        """Kill a process with its children, and start another."""
        self.stack.kill(name)
        self.kills += name == "worker"
        self.stack.start(name)

    def interrupt_mail_server(self, seconds: float) -> None:
        """Kill the mail server, and start it again after a while."""
        self.stack.kill("mail")
        self.kills += 1  # a worker that was sending has received no reply
        time.sleep(seconds)
        self.stack.start("mail")

    def targets(self) -> list[list[Any]]:
        """Return subject, state, reason, `uncertain` and the number of tries of each target."""
        fields = "'subject', 'state', 'reason', 'uncertain', 'tries'"
        rows = f"Target.objects.filter(operation={self.operation_id}).values_list({fields})"
        return self.stack.evaluate(f"[list(row) for row in {rows}]")  # type: ignore[no-any-return]

    def count_by_state(self) -> dict[str, int]:
        """Return the number of targets by state, counted by the database."""
        operation = f"Operation.objects.get(pk={self.operation_id})"
        return dict(self.stack.evaluate(f"dict({operation}.counts())"))

    def wait(self, timeout: float = 400) -> None:
        """Wait until the operation has finished, without interfering."""
        rows = f"Operation.objects.filter(pk={self.operation_id}).exclude(finished_at=None)"

        def finished() -> Any:
            self.restart_exited()
            try:
                return self.stack.evaluate(f"{rows}.count()")
            except AssertionError:  # the database is stopped at this moment
                return None

        until(finished, lambda: f"the end of the operation\n{self.stack.logs()}", timeout)

    def check_invariants(self, expected: int) -> Counter[str]:
        """Check each target against the emails received; return the number of targets by state."""
        targets = self.targets()
        addresses = dict(self.stack.evaluate("[[str(u.pk), u.email] for u in User.objects.all()]"))
        emails = emails_by_recipient(self.stack)
        states = Counter(state for _subject, state, *_ in targets)
        assert len(targets) == len({subject for subject, *_ in targets}) == expected
        assert not set(states) & {"waiting", "queued", "running"}, states
        surplus = 0
        for subject, state, reason, uncertain, _tries in targets:
            count = emails[addresses[subject]]
            assert (count >= 1) == (state == "done"), (subject, state, reason, count)
            surplus += max(count - 1, 0)
            assert count <= 1 or uncertain, (subject, count, "not marked as uncertain")
        assert surplus <= self.kills * PROCESSES, (surplus, self.kills)
        return states


def emails_by_recipient(stack: Stack) -> Counter[str]:
    """Return the number of reset emails by recipient."""
    emails = (
        message_from_bytes(path.read_bytes(), policy=policy.default) for path in stack.emails()
    )
    return Counter(
        str(email["To"]) for email in emails if email["Subject"] == "Reset your password"
    )
