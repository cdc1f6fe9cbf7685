"""Worker commands: outcomes (done, refused, unknown), refusals, and the page."""

import re
import time
import uuid

import pytest
from django.utils import timezone

from tasks_admin import workers
from tasks_admin.integrations import control
from tasks_admin.integrations.control import Snapshot, WorkerView, snapshots, worker_commands
from tasks_admin.lib.errors import NotAllowed, WrongArguments, WrongState
from tasks_admin.models import Operation, Worker
from tasks_admin.workers.commands import record_outcome
from tests.support.pages import OPERATIONS, WORKERS, page_text

pytestmark = pytest.mark.django_db
NO_REPLY = "may still be applied when the worker recovers"


@pytest.fixture(autouse=True)
def clear_snapshot():
    """The process keeps a snapshot for two seconds."""
    control.clear_cache()
    yield
    control.clear_cache()


def set_online(*views):
    """Set the current snapshot: these workers have replied."""
    snapshots._last = Snapshot(workers=list(views), taken_at=time.monotonic() + 60)


def make_view(**fields):
    defaults = {"name": "w", "pool": "prefork", "processes": 2, "queues": ["mail"]}
    return WorkerView(**defaults | fields)


def set_replies(monkeypatch, **replies):
    """Set the replies of workers to a command, by name."""
    monkeypatch.setattr(control, "send_command", lambda key, *more, **others: replies)


def send(actor, verb="pool_grow", names=("w",), **options):
    options = options or ({"n": 1} if verb in {"pool_grow", "pool_shrink"} else {})
    return workers.send_command(
        verb=verb, names=list(names), actor=actor, reason="r", options=options
    )


def outcomes(operation):
    return {
        target.subject: (target.state, target.reason, target.detail)
        for target in operation.targets.all()
    }


class TestOutcomes:
    """Done, refused or unknown."""

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
    def test_reply_sets_the_outcome(self, monkeypatch, alice, reply, expected):
        set_online(make_view())
        set_replies(monkeypatch, w=reply)

        assert outcomes(send(alice)) == {"w": expected}

    def test_missing_reply_is_unknown_until_the_worker_records_it(self, monkeypatch, alice):
        set_online(make_view(), make_view(name="v"))
        set_replies(monkeypatch, v={"ok": "x", "before": 1, "after": 2})

        operation = send(alice, names=["w", "v"])

        assert outcomes(operation) == {"w": ("unknown", "no_reply", ""), "v": ("done", "", "1 → 2")}
        record_outcome(str(operation.key), "w", {"ok": "x", "before": 2, "after": 3})
        assert outcomes(operation)["w"] == ("done", "", "2 → 3")
        assert operation.counts()["done"] == 2
        record_outcome(str(operation.key), "w", {"error": "late"})
        assert outcomes(operation)["w"] == ("done", "", "2 → 3")

    def test_page_refreshes_until_the_worker_replies(self, as_user, monkeypatch, alice):
        set_online(make_view())
        set_replies(monkeypatch)
        operation = send(alice)
        client, page = as_user(alice), f"{OPERATIONS}{operation.pk}/progress/"

        assert "hx-trigger" in client.get(page).content.decode()
        record_outcome(str(operation.key), "w", {"ok": "x", "before": 2, "after": 3})
        settled = client.get(page)

        assert settled.headers["HX-Refresh"] == "true"
        assert "hx-trigger" not in settled.content.decode()

    def test_broker_unreachable(self, no_broker, alice):
        now = timezone.now()
        Worker.objects.create(name="w", start_id=uuid.uuid4(), started_at=now, last_seen_at=now)

        assert outcomes(send(alice)) == {"w": ("unknown", "no_reply", "")}

    def test_recorded_before_sent(self, monkeypatch, alice):
        set_online(make_view())

        def die(*_, **__):
            raise KeyboardInterrupt

        monkeypatch.setattr(control, "send_command", die)
        with pytest.raises(KeyboardInterrupt):
            send(alice)

        assert outcomes(Operation.objects.get()) == {"w": ("unknown", "no_reply", "")}

    def test_unknown_key_is_ignored(self):
        record_outcome("nonsense", "w", {"ok": "x"})
        record_outcome(str(uuid.uuid4()), "w", {"ok": "x"})


class TestRefusals:
    """Refused before anything is sent or recorded."""

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
    def test_invalid_option(self, alice, verb, options, name):
        set_online(make_view(autoscale=[1, 2] if verb == "autoscale" else None))

        with pytest.raises(WrongArguments) as error:
            send(alice, verb, **options)

        assert set(error.value.problems) == {name}
        assert not Operation.objects.exists()

    @pytest.mark.parametrize(
        ("verb", "fields"),
        [
            ("pool_grow", {"pool": "solo"}), ("pool_shrink", {"pool": "thread"}),
            ("pool_grow", {"autoscale": [1, 2]}), ("autoscale", {}),
            ("shut_down", {"unmanaged": True}),
        ],
    )  # fmt: skip
    def test_command_not_available_on_worker(self, alice, verb, fields):
        set_online(make_view(**fields))
        options = {"min": 1, "max": 2} if verb == "autoscale" else {}

        with pytest.raises(WrongState, match="not available"):
            send(alice, verb, **options)

    def test_duplicate_name_allows_shut_down_only(self, monkeypatch, alice):
        now = timezone.now()
        Worker.objects.create(name="w", start_id=uuid.uuid4(), started_at=now, last_seen_at=now,
                              duplicate_seen_at=now)  # fmt: skip
        set_online(make_view())
        with pytest.raises(WrongState, match="not available"):
            send(alice)
        set_online(make_view(), make_view(name="v"))
        set_replies(monkeypatch, w={"ok": "stops"})

        assert outcomes(send(alice, "shut_down")) == {"w": ("unknown", "stopping", "")}

    @pytest.mark.parametrize(
        ("names", "message"),
        [([], "at least one"), (["other"], "unknown worker"), (["w", "other"], "unknown worker")],
    )
    def test_unknown_worker(self, alice, names, message):
        set_online(make_view())

        with pytest.raises(WrongState, match=message):
            send(alice, names=names)
        assert not Operation.objects.exists()

    @pytest.mark.parametrize("verb", ["pause", "ping", "election"])
    def test_not_a_worker_command(self, alice, verb):
        with pytest.raises((WrongState, NotAllowed, KeyError)):
            send(alice, verb)

    def test_missing_permission(self, charlie):
        set_online(make_view())

        with pytest.raises(NotAllowed):
            send(charlie)


class TestPage:
    """GET shows the page, POST sends the command."""

    def test_get_sends_nothing(self, as_user, alice):
        set_online(make_view())

        page = as_user(alice).get(f"{WORKERS}command/pool_grow/", {"name": "w"})

        assert "Grow the pool: 1 worker w " in page_text(page)
        assert not Operation.objects.exists()

    def test_post_sends_and_reports_missing_replies(self, as_user, alice, monkeypatch):
        set_online(make_view(), make_view(name="v"))
        set_replies(monkeypatch, v={"ok": "x", "before": 1, "after": 2})
        data = {"name": ["w", "v"], "n": "1", "reason": "r"}

        page = as_user(alice).post(f"{WORKERS}command/pool_grow/", data, follow=True)

        text = page_text(page)
        assert "Sent the command to 2 workers; 1 did not reply." in text
        assert NO_REPLY in text
        assert "1 → 2" in text

    @pytest.mark.parametrize("data", [{}, {"n": "x"}, {"n": "1"}, {"n": "99", "reason": "r"}])
    def test_invalid_form(self, as_user, alice, data):
        set_online(make_view())

        page = as_user(alice).post(f"{WORKERS}command/pool_grow/", {"name": "w"} | data)

        assert page.status_code == 200
        assert not Operation.objects.exists()

    def test_no_worker_selected_and_unknown_command(self, as_user, alice):
        client = as_user(alice)

        assert "Select at least one worker." in page_text(
            client.get(f"{WORKERS}command/shut_down/")
        )
        assert client.get(f"{WORKERS}command/election/").status_code == 404

    @pytest.mark.parametrize(
        ("fields", "offered"),
        [({"pool": "solo"}, False), ({"pool": "prefork"}, True)],
    )  # fmt: skip
    def test_command_offered_only_where_available(self, as_user, alice, fields, offered):
        set_online(make_view(**fields))

        page = as_user(alice).get(f"{WORKERS}w/change/").content.decode()

        assert ("command/pool_grow/" in page) == offered
        assert "command/shut_down/" in page
        assert not re.search("style=|onclick=", page)


def test_command_delivered_twice_runs_once(monkeypatch):
    calls = []
    monkeypatch.setattr(
        worker_commands, "_execute", lambda *given: calls.append(given) or {"ok": "x"}
    )
    monkeypatch.setattr(worker_commands, "MAX_OUTCOMES", 2)
    worker_commands.outcomes.clear()

    for key in ("a", "a", "b", "c", "a"):
        worker_commands.console_run_command(None, key=key, command="pool_grow", arguments={})

    assert len(calls) == 4  # the oldest key was dropped
    worker_commands.outcomes.clear()
