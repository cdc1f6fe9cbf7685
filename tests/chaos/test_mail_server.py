"""A mail server that refuses all emails: ten minutes with `make chaos`, seconds here."""

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from tests.support.fixtures import Prepare
from tests.support.ports import free_port
from tests.support.scenario import Scenario, count_eligible
from tests.support.smtp import Mailbox

#: Seconds.
OUTAGE = float(os.environ.get("CHAOS_OUTAGE", "8"))
FULL = OUTAGE >= 600
USERS = 300 if FULL else 40
#: The delays between tries: the defaults for an outage of minutes, shorter ones for seconds.
BACKOFF_BASE, BACKOFF_CAP = (4.0, 900.0) if FULL else (0.25, 5.0)
pytestmark = [pytest.mark.stack, pytest.mark.timeout(OUTAGE + BACKOFF_CAP + 900)]


class RefusingMailbox(Mailbox):
    """Refuses each recipient temporarily, with different replies, until `refuses` is false."""

    replies = ("450 4.2.0 greylisted", "451 4.3.0 try later", "452 4.3.1 no space", "421 4.3.2 no")
    refuses = True

    async def handle_RCPT(self, server: Any, *rest: Any) -> str:  # noqa: N802
        _session, _envelope, address, _options = rest
        if not self.refuses:
            return await super().handle_RCPT(server, *rest)
        self.tries[address] += 1
        return self.replies[self.tries.total() % len(self.replies)]


@pytest.fixture
def server() -> Iterator[tuple[RefusingMailbox, int]]:
    """The mail server, and its port."""
    mailbox, port = RefusingMailbox(), free_port()
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    yield mailbox, port
    controller.stop()


def tries_within(seconds: float) -> int:
    """Simulate the tries of one email in that time, if a try takes no time itself."""
    tries, clock = 0, 0.0
    while clock <= seconds:
        tries += 1
        clock += random.uniform(0, min(BACKOFF_CAP, BACKOFF_BASE * 2**tries))
    return tries


def max_tries(emails: int, seconds: float) -> float:
    """Return a bound for the tries of so many emails: the maximum of 200 simulations, plus 10 %."""
    return 1.1 * max(sum(tries_within(seconds) for _ in range(emails)) for _ in range(200))


def test_after_an_outage_of_the_mail_server_each_user_gets_an_email(
    console: Prepare, server: tuple[RefusingMailbox, int]
) -> None:
    mailbox, port = server
    stack = console("web", users=USERS)
    environment = {
        "EMAIL_URL": f"smtp://127.0.0.1:{port}",
        "TASKS_ADMIN_MAIL_SUMMARY": "0",
        "TASKS_ADMIN_BACKOFF_BASE": str(BACKOFF_BASE),
        "TASKS_ADMIN_BACKOFF_CAP": str(BACKOFF_CAP),
    }
    stack.start("worker", "dispatcher", **environment)
    stack.ready()
    count = count_eligible(stack)
    scenario = Scenario.send_reset_emails(stack)

    started = time.monotonic()
    time.sleep(OUTAGE)
    mailbox.refuses, refused = False, mailbox.tries.copy()
    outage = time.monotonic() - started
    assert not mailbox.messages
    scenario.wait(BACKOFF_CAP + 300)

    targets = scenario.targets()
    per_email = max(refused.values())
    print(f"{refused.total()} tries of {count} in {outage:.0f} s, at most {per_email} each")
    print(f"the last email was sent {time.monotonic() - started - outage:.0f} s later")
    assert Counter(state for _subject, state, *_ in targets) == {"done": count}
    assert sorted(mailbox.recipients.count(to) for to in set(mailbox.recipients)) == [1] * count
    assert count <= refused.total() <= max_tries(count, outage)
    assert sum(tries for *_, tries in targets) == mailbox.tries.total()
