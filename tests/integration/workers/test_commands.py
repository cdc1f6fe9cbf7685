"""What workers are told, and what is said of it: done, refused, or not known."""

import re
import uuid

import pytest
from django.utils import timezone

from tasks_admin import workers
from tasks_admin.integrations import control
from tasks_admin.integrations.control import Snapshot, WorkerView, snapshots, worker_commands
from tasks_admin.lib.errors import NotAllowed, WrongArguments, WrongState
from tasks_admin.models import Operation, Worker
from tasks_admin.workers.commands import outcome
from tests.support.pages import OPERATIONS, WORKERS, page_text

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def forgetful():
    """A snapshot is kept for two seconds."""
    control.forget()
    yield
    control.forget()


def there(*views):
    """As if these workers had just answered."""
    import time

    snapshots._last = Snapshot(workers=list(views), taken_at=time.monotonic() + 60)


def view(**fields):
    known = {"name": "w", "pool": "prefork", "processes": 2, "queues": ["mail"]}
    return WorkerView(**known | fields)


def say(monkeypatch, **replies):
    """Let workers answer this; the outermost edge."""
    monkeypatch.setattr(control, "order", lambda key, *more, **others: replies)


def give(actor, verb="pool_grow", names=("w",), **options):
    options = options or ({"n": 1} if verb in {"pool_grow", "pool_shrink"} else {})
    return workers.order(verb=verb, names=list(names), actor=actor, reason="r", options=options)


def told(operation):
    return {
        target.subject: (target.state, target.reason, target.detail)
        for target in operation.targets.all()
    }


class TestOutcomes:
    """Three, never two."""

    @pytest.mark.parametrize(
        ("reply", "expected"),
        [
            ({"ok": "x", "before": 2, "after": 3}, ("done", "", "2 → 3")),
            ({"ok": "x", "before": "a", "after": "a"}, ("done", "", "a")),
            ({"error": "Not enabled"}, ("failed", "command_refused", "Not enabled")),
            ({"error": "redis://u:hush@h/0"}, ("failed", "command_refused", "redis://u:••••••@h/0")),
            ({"ok": "stops"}, ("unknown", "stopping", "")),
            ({}, ("failed", "command_refused", "")),
        ],
    )  # fmt: skip
    def test_what_it_says(self, monkeypatch, alice, reply, expected):
        there(view())
        say(monkeypatch, w=reply)

        assert told(give(alice)) == {"w": expected}

    def test_silence(self, monkeypatch, alice):
        there(view(), view(name="v"))
        say(monkeypatch, v={"ok": "x", "before": 1, "after": 2})

        operation = give(alice, names=["w", "v"])

        assert told(operation) == {"w": ("unknown", "no_reply", ""), "v": ("done", "", "1 → 2")}
        outcome(str(operation.key), "w", {"ok": "x", "before": 2, "after": 3})
        assert told(operation)["w"] == ("done", "", "2 → 3")
        assert operation.counts()["done"] == 2
        outcome(str(operation.key), "w", {"error": "late"})
        assert told(operation)["w"] == ("done", "", "2 → 3")

    def test_a_page_waits_for_who_is_silent(self, as_user, monkeypatch, alice):
        there(view())
        say(monkeypatch)
        operation = give(alice)
        client, page = as_user(alice), f"{OPERATIONS}{operation.pk}/progress/"

        assert "hx-trigger" in client.get(page).content.decode()
        outcome(str(operation.key), "w", {"ok": "x", "before": 2, "after": 3})
        heard = client.get(page)

        assert heard.headers["HX-Refresh"] == "true"
        assert "hx-trigger" not in heard.content.decode()

    def test_no_broker(self, no_broker, alice):
        now = timezone.now()
        Worker.objects.create(name="w", start=uuid.uuid4(), started_at=now, last_seen_at=now)

        assert told(give(alice)) == {"w": ("unknown", "no_reply", "")}

    def test_it_is_recorded_before_it_is_sent(self, monkeypatch, alice):
        there(view())

        def die(*_, **__):
            raise KeyboardInterrupt

        monkeypatch.setattr(control, "order", die)
        with pytest.raises(KeyboardInterrupt):
            give(alice)

        assert told(Operation.objects.get()) == {"w": ("unknown", "no_reply", "")}

    def test_a_key_of_nobody(self):
        outcome("nonsense", "w", {"ok": "x"})
        outcome(str(uuid.uuid4()), "w", {"ok": "x"})


class TestRefusals:
    """Before anything is sent or recorded."""

    @pytest.mark.parametrize(
        ("verb", "options", "name"),
        [
            ("pool_grow", {"n": 0}, "n"), ("pool_grow", {"n": 65}, "n"),
            ("pool_grow", {"n": "2"}, "n"), ("pool_grow", {"n": True}, "n"),
            ("pool_grow", {"n": 1, "x": 1}, "x"),
            ("autoscale", {"min": 3, "max": 2}, "min"),
            ("add_consumer", {"queue": "evil"}, "queue"),
            ("rate_limit", {"task_name": "no.such", "rate_limit": "1/m"}, "task_name"),
            *(("rate_limit", {"task_name": "tasks_admin.send_reset_email", "rate_limit": rate},
               "rate_limit") for rate in ("0", "x", "1/d", "-1/s", "1/", "١/s", None)),
            ("time_limit", {"task_name": "tasks_admin.send_reset_email", "soft": -1, "hard": 2},
             "soft"),
        ],
    )  # fmt: skip
    def test_options(self, alice, verb, options, name):
        there(view(autoscale=[1, 2] if verb == "autoscale" else None))

        with pytest.raises(WrongArguments) as error:
            give(alice, verb, **options)

        assert set(error.value.problems) == {name}
        assert not Operation.objects.exists()

    @pytest.mark.parametrize(
        ("verb", "fields"),
        [
            ("pool_grow", {"pool": "solo"}), ("pool_shrink", {"pool": "thread"}),
            ("pool_grow", {"autoscale": [1, 2]}), ("autoscale", {}),
            ("shut_down", {"foreign": True}),
        ],
    )  # fmt: skip
    def test_what_is_not_possible_there(self, alice, verb, fields):
        there(view(**fields))
        options = {"min": 1, "max": 2} if verb == "autoscale" else {}

        with pytest.raises(WrongState, match="not possible"):
            give(alice, verb, **options)

    def test_two_of_one_name_can_only_be_shut_down(self, monkeypatch, alice):
        now = timezone.now()
        Worker.objects.create(name="w", start=uuid.uuid4(), started_at=now, last_seen_at=now,
                              duplicate_seen_at=now)  # fmt: skip
        there(view())
        with pytest.raises(WrongState, match="not possible"):
            give(alice)
        there(view(), view(name="v"))
        say(monkeypatch, w={"ok": "stops"})

        assert told(give(alice, "shut_down")) == {"w": ("unknown", "stopping", "")}

    @pytest.mark.parametrize("names", [[], ["stranger"], ["w", "stranger"]])
    def test_nobody_of_that_name(self, alice, names):
        there(view())

        with pytest.raises(WrongState, match="no such worker"):
            give(alice, names=names)
        assert not Operation.objects.exists()

    @pytest.mark.parametrize("verb", ["pause", "ping", "election"])
    def test_no_other_command(self, alice, verb):
        with pytest.raises((WrongState, NotAllowed, KeyError)):
            give(alice, verb)

    def test_each_takes_its_own_permission(self, charlie):
        there(view())

        with pytest.raises(NotAllowed):
            give(charlie)


class TestPage:
    """Asked on a GET, done by a POST."""

    def test_a_get_asks_only(self, as_user, alice):
        there(view())

        page = as_user(alice).get(f"{WORKERS}order/pool_grow/", {"name": "w"})

        assert "Grow the pool: 1 worker is asked." in page_text(page)
        assert not Operation.objects.exists()

    def test_a_post_does_it_and_says_who_did_not_answer(self, as_user, alice, monkeypatch):
        there(view(), view(name="v"))
        say(monkeypatch, v={"ok": "x", "before": 1, "after": 2})
        data = {"name": ["w", "v"], "n": "1", "reason": "r"}

        page = as_user(alice).post(f"{WORKERS}order/pool_grow/", data, follow=True)

        words = page_text(page)
        assert "Asked 2 workers; 1 did not answer." in words
        assert "it may still be done when the worker wakes up" in words
        assert "1 → 2" in words

    @pytest.mark.parametrize("data", [{}, {"n": "x"}, {"n": "1"}, {"n": "99", "reason": "r"}])
    def test_nonsense(self, as_user, alice, data):
        there(view())

        page = as_user(alice).post(f"{WORKERS}order/pool_grow/", {"name": "w"} | data)

        assert page.status_code == 200
        assert not Operation.objects.exists()

    def test_nobody_selected_and_no_such_order(self, as_user, alice):
        client = as_user(alice)

        assert "No worker was selected" in page_text(client.get(f"{WORKERS}order/shut_down/"))
        assert client.get(f"{WORKERS}order/election/").status_code == 404

    @pytest.mark.parametrize(
        ("fields", "offered"),
        [({"pool": "solo"}, False), ({"pool": "prefork"}, True)],
    )  # fmt: skip
    def test_a_pool_that_cannot_grow_is_not_offered_to(self, as_user, alice, fields, offered):
        there(view(**fields))

        page = as_user(alice).get(f"{WORKERS}w/change/").content.decode()

        assert ("order/pool_grow/" in page) == offered
        assert "order/shut_down/" in page
        assert not re.search("style=|onclick=", page)


def test_an_order_that_comes_twice_is_done_once(monkeypatch):
    calls = []
    monkeypatch.setattr(worker_commands, "_do", lambda *given: calls.append(given) or {"ok": "x"})
    monkeypatch.setattr(worker_commands, "MOST", 2)
    worker_commands.done.clear()

    for key in ("a", "a", "b", "c", "a"):
        worker_commands.console_order(None, key=key, command="pool_grow", arguments={})

    assert len(calls) == 4  # the oldest was forgotten
    worker_commands.done.clear()
