"""The pages of workers: replies, last known values, states, and invalid replies."""

import html
import re
import time
from datetime import timedelta
from uuid import uuid4

import pytest
from celery.contrib.testing.worker import start_worker
from django.utils import timezone

from opsconsole.celery import app
from tasks_admin.integrations import control
from tasks_admin.integrations.control import Snapshot, WorkerView, snapshots
from tasks_admin.models import Worker
from tests.support.pages import WORKERS, page_text

HOSTILE = "<script>alert(1)</script>"
#: Seconds on a busy machine; without timeouts the response would never come.
MAX_SECONDS = 30


@pytest.fixture(autouse=True)
def clear_snapshot():
    """The process keeps a snapshot for two seconds."""
    control.clear_cache()
    yield
    control.clear_cache()


@pytest.fixture
def client(as_user, alice):
    return as_user(alice)


def set_online(*views):
    """Set the current snapshot: these workers have replied."""
    snapshots._last = Snapshot(workers=list(views), taken_at=time.monotonic() + 60)


def make_view(**fields):
    defaults = {"name": "w1@here", "pool": "prefork", "processes": 2, "uptime": 61.0, "total": 7}
    return WorkerView(**defaults | fields)


def test_online_worker(transactional_db, broker, as_user, make_user):
    client = as_user(make_user(is_staff=True, is_superuser=True))
    with start_worker(app, perform_ping_check=False, queues=["mail"], hostname="w1@here"):
        text = page_text(client.get(WORKERS))

    assert "1 worker online" in text
    assert re.search(r"w1@here celery \S+ python \S+ online .*solo × 1", text)
    assert "mail" in text


def test_two_workers(client):
    set_online(make_view(), make_view(name="w2@here", queues=["mail", "celery"]))

    text = page_text(client.get(WORKERS))

    assert "2 workers online" in text
    assert "mail, celery" in text
    assert "not consuming" in text


def test_running_task_links_to_its_result(client):
    set_online(make_view(running=[{"id": "a/b?c=d", "name": "tests.add", "started": 1.0}]))

    page = client.get(WORKERS)

    assert "/admin/tasks_admin/result/of/?id=a%2Fb%3Fc%3Dd" in page.content.decode()
    assert "tests.add" in page_text(page)


@pytest.mark.parametrize("task_id", ["", None, "a\nb", "..", HOSTILE, "x" * 5000])
def test_task_id_of_any_kind(client, task_id):
    set_online(make_view(running=[{"id": task_id, "name": None, "started": None}]))

    assert client.get(WORKERS).status_code == 200


def test_running_tasks_of_an_offline_worker(client, broker):
    last_seen_at = timezone.now() - timedelta(hours=3)
    running = [{"id": "a", "name": "tests.add", "started": last_seen_at.timestamp() - 5, "pid": 7}]
    Worker.objects.create(
        name="w", start_id=uuid4(), started_at=last_seen_at, last_seen_at=last_seen_at,
        last_snapshot={"pool": "prefork", "running": running},
    )  # fmt: skip
    set_online(make_view())

    text = page_text(client.get(f"{WORKERS}w/change/"))

    assert "This worker does not reply." in text
    assert re.search(r"Runtime when last seen .* tests.add a 5.0 s 7", text)


def test_command_to_all_online_workers(client):
    set_online(
        make_view(),
        make_view(name="w2@here", pool="solo"),
        make_view(name="w3@here", unmanaged=True),
    )

    assert "All online workers" in page_text(client.get(WORKERS))
    page = client.get(f"{WORKERS}command/enable_events/", {"all": "1"})
    assert "Enable events: 2 workers w1@here" in page_text(page)
    assert page.content.count(b'type="hidden" name="name"') == 2
    page = client.get(f"{WORKERS}command/pool_grow/", {"all": "1"})
    text = page_text(page)
    assert "Grow the pool: 1 worker w1@here not consuming prefork × 2" in text


def test_unavailable_command_is_not_offered(client):
    set_online(make_view(pool="solo"))

    page = client.get(WORKERS)

    assert b"command/pool_grow/" not in page.content
    assert b"command/shut_down/" in page.content


def test_queue_choices_follow_the_workers(client):
    set_online(make_view(queues=["mail"]), make_view(name="w2@here", queues=["special"]))

    def offered(verb):
        page = client.get(f"{WORKERS}command/{verb}/", {"name": "w2@here"})
        return [value for value, _label in page.context_data["form"].fields["queue"].choices]

    assert offered("add_consumer") == ["celery", "mail", "special"]
    assert offered("cancel_consumer") == ["special"]


def test_markup_is_escaped(client):
    hostile = {"id": HOSTILE, "name": HOSTILE, "started": HOSTILE}
    set_online(make_view(name=HOSTILE, pool=HOSTILE, queues=[HOSTILE], running=[hostile]))

    page = client.get(WORKERS)

    assert HOSTILE.encode() not in page.content
    assert page.content.count(b"&lt;script&gt;alert(1)") >= 4


def test_no_worker_replies(client, broker):
    page = client.get(WORKERS)

    assert page.status_code == 200
    assert "No worker replied within a second" in page_text(page)


@pytest.mark.parametrize("ill", ["no_broker", "unresponsive_broker"])
def test_broker_unreachable(client, request, ill):
    request.getfixturevalue(ill)
    began = time.monotonic()

    page = client.get(WORKERS)

    assert page.status_code == 200
    assert "The broker does not respond. Showing the last known values." in page_text(page)
    assert b"redis" not in page.content
    assert time.monotonic() - began < MAX_SECONDS


@pytest.mark.parametrize("path", ["w2@here/change/", "x/", "_/change/"])
def test_unknown_worker(client, path):
    set_online(make_view())

    assert client.get(WORKERS + path, follow=True).status_code == 404


@pytest.mark.parametrize("name", ["w1@here", "w/ü?&#<b>@h", "x" * 200, "a_2Fb"])
def test_page_of_a_worker(client, no_broker, name):
    running = [{"id": "a", "name": "tests.add", "started": 1.0, "pid": 7}]
    set_online(make_view(name=name, running=running, running_count=1))
    (link,) = re.findall(r'<th scope="row"><a href="([^"]*)"', client.get(WORKERS).content.decode())

    page = client.get(html.unescape(link))

    assert page.status_code == 200
    assert page.context_data["worker"].name == name
    assert "Running (1)" in page_text(page)


def test_offline_worker_stays_listed_with_its_tasks(client, broker):
    last_snapshot = {
        "pool": "prefork",
        "queues": ["mail"],
        "running": [{"id": "a", "name": "tests.add"}],
    }
    moment = timezone.now() - timedelta(minutes=5)
    Worker.objects.create(
        name="w9",
        start_id=uuid4(),
        started_at=moment,
        last_seen_at=moment,
        last_snapshot=last_snapshot,
    )

    text = page_text(client.get(WORKERS))
    assert "w9 not responding since" in text
    assert "tests.add" in text
    assert "This worker does not reply" in page_text(client.get(f"{WORKERS}w9/change/"))


def test_stopped_worker_and_duplicate_name(client, broker):
    now = timezone.now()
    known = {"started_at": now, "last_seen_at": now}
    Worker.objects.create(name="gone", start_id=uuid4(), stopped_at=now, **known)
    Worker.objects.create(name="twin", start_id=uuid4(), duplicate_seen_at=now, **known)

    text = page_text(client.get(WORKERS))

    assert "gone stopped" in text
    assert "two running workers have this name" in text


def test_unmanaged_worker(client):
    set_online(WorkerView(name="other@there", unmanaged=True))

    assert "unmanaged" in page_text(client.get(WORKERS))


@pytest.mark.parametrize("path", ["add/", "w1@here/delete/"])
def test_workers_cannot_be_added_or_deleted(client, path):
    set_online(make_view())

    assert client.post(WORKERS + path, {"name": "x"}).status_code == 403


@pytest.mark.parametrize("path", ["", "?q=x", "?p=9", "?name__in=x", "w1@here/history/"])
def test_changelist_parameters_are_ignored(client, path):
    set_online(make_view())

    assert client.get(WORKERS + path).status_code in {200, 302, 404}


def test_post_to_the_list_changes_nothing(client):
    set_online(make_view())

    assert client.post(WORKERS, {"action": "delete_selected"}).status_code in {200, 405}


@pytest.mark.parametrize(
    "reply",
    [
        {"uptime": 1e300},
        {"uptime": float("nan")},
        {"uptime": 10**400},
        {"total": 10**5000},
        {"memory": 10**400},
        {"load": [float("nan"), "x", None, 10**400]},
        {"pool": "x" * 10**6},
        {"queues": ["q" * 10**5] * 5},
        {"versions": {str(number): "v" for number in range(50_000)}},
        {"running": [{"id": str(number), "name": "n" * 1000} for number in range(20_000)]},
        {"running": [{"id": [1], "name": {}, "started": float("inf"), "pid": "x", "eta": [1]}]},
        {"running": [{"id": "a", "name": "n", "started": float("nan")}]},
        {"running": [{"id": "a", "name": "n", "started": -1e17}]},
    ],
    ids=lambda reply: next(iter(reply)),
)
def test_invalid_or_huge_reply(client, reply):
    for path in ("", "w1@here/change/"):
        set_online(control.parse_snapshot("w1@here", {"pool": "prefork"} | reply))
        page = client.get(WORKERS + path)
        assert page.status_code == 200
        assert len(page.content) < 400_000


@pytest.mark.parametrize(
    "reply",
    [
        {"tasks": 7},
        {"tasks": [7]},
        {"tasks": [], "settings": 7},
        {"tasks": [{"name": "x" * 999}] * 50_000},
    ],
)
def test_invalid_or_huge_details(client, monkeypatch, reply):
    monkeypatch.setattr(control.snapshots, "request", lambda *_, **__: [("w1@here", reply)])
    set_online(make_view())

    page = client.get(WORKERS + "w1@here/change/")
    assert page.status_code == 200
    assert len(page.content) < 1_500_000
