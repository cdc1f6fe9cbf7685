"""A mail server that refuses everything for ten minutes (with `make chaos`; here, for seconds)."""

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from tests.chaos.test_kills import eligible, prepare
from tests.support.ports import free_port
from tests.support.scenario import Scenario
from tests.support.smtp import Mailbox
from tests.support.stack import Stack

#: Seconds.
OUTAGE = float(os.environ.get("CHAOS_OUTAGE", "8"))
FULL = OUTAGE >= 600
USERS = 300 if FULL else 40
#: What an outage of minutes does under the defaults, one of seconds does under these.
BASE, CAP = (4.0, 900.0) if FULL else (0.25, 5.0)
pytestmark = [pytest.mark.stack, pytest.mark.timeout(OUTAGE + CAP + 900)]


class Refusing(Mailbox):
    """Puts everybody off, with all the words for it, until told to take mails."""

    words = ("450 4.2.0 greylisted", "451 4.3.0 try later", "452 4.3.1 no space", "421 4.3.2 no")
    refuses = True

    async def handle_RCPT(self, server: Any, *rest: Any) -> str:  # noqa: N802
        _session, _envelope, address, _options = rest
        if not self.refuses:
            return await super().handle_RCPT(server, *rest)
        self.tries[address] += 1
        return self.words[self.tries.total() % len(self.words)]


@pytest.fixture
def server() -> Iterator[tuple[Refusing, int]]:
    """That server, and its port."""
    box, port = Refusing(), free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    yield box, port
    controller.stop()


def tries_within(seconds: float) -> int:
    """How often one mail is tried in that time, its outcome awaited at no cost."""
    tries, clock = 0, 0.0
    while clock <= seconds:
        tries += 1
        clock += random.uniform(0, min(CAP, BASE * 2**tries))
    return tries


def most_tries(mails: int, seconds: float) -> float:
    """More than so many mails are tried in all, ever: a tenth above the most of many runs."""
    return 1.1 * max(sum(tries_within(seconds) for _ in range(mails)) for _ in range(200))


def test_after_a_long_refusal_everybody_is_mailed(
    tmp_path: Path, server: tuple[Refusing, int]
) -> None:
    box, port = server
    backoff = {"TASKS_ADMIN_BACKOFF_BASE": str(BASE), "TASKS_ADMIN_BACKOFF_CAP": str(CAP)}
    only = {"EMAIL_URL": f"smtp://127.0.0.1:{port}", "TASKS_ADMIN_MAIL_SUMMARY": "0"}
    stack = Stack(tmp_path, **only, **backoff)
    try:
        prepare(stack, USERS)
        stack.start("broker", "web", "worker", "dispatcher")
        stack.ready()
        count = eligible(stack)
        going = Scenario.begin(stack)

        begun = time.monotonic()
        time.sleep(OUTAGE)
        box.refuses, refused = False, box.tries.copy()
        lasted = time.monotonic() - begun
        assert not box.messages
        going.wait(CAP + 300)

        targets = going.targets()
        print(f"{refused.total()} tries of {count} in {lasted:.0f} s, at most {most(refused)} each")
        print(f"the last mail was out {time.monotonic() - begun - lasted:.0f} s later")
        assert Counter(state for _subject, state, *_ in targets) == {"done": count}
        assert sorted(box.recipients.count(to) for to in set(box.recipients)) == [1] * count
        assert count <= refused.total() <= most_tries(count, lasted)
        assert sum(tries for *_, tries in targets) == box.tries.total()
    finally:
        stack.close()


def most(tries: Counter[str]) -> int:
    return max(tries.values())
