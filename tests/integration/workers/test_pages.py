"""Workers: who answers, what they do, and what is not known when nobody does."""

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


@pytest.fixture(autouse=True)
def forgetful():
    """A snapshot is kept for two seconds."""
    control.forget()
    yield
    control.forget()


@pytest.fixture
def client(as_user, alice):
    return as_user(alice)


def seen(*views):
    """As if these workers had just answered."""
    snapshots._last = Snapshot(workers=list(views), taken_at=time.monotonic() + 60)


def view(**fields):
    known = {"name": "w1@here", "pool": "prefork", "processes": 2, "uptime": 61.0, "total": 7}
    return WorkerView(**known | fields)


def test_who_answers(transactional_db, broker, as_user, make_user):
    client = as_user(make_user(is_staff=True, is_superuser=True))
    with start_worker(app, perform_ping_check=False, queues=["mail"], hostname="w1@here"):
        words = page_text(client.get(WORKERS))

    assert "1 worker answered" in words
    assert re.search(r"w1@here celery \S+ python \S+ online .*solo × 1", words)
    assert "mail" in words


def test_several(client):
    seen(view(), view(name="w2@here", queues=["mail", "celery"]))

    words = page_text(client.get(WORKERS))

    assert "2 workers answered" in words
    assert "mail, celery" in words
    assert "consumes nothing" in words


def test_what_one_runs_leads_to_its_result(client):
    seen(view(running=[{"id": "a/b?c=d", "name": "tests.add", "started": 1.0}]))

    page = client.get(WORKERS)

    assert "/admin/tasks_admin/result/of/?id=a%2Fb%3Fc%3Dd" in page.content.decode()
    assert "tests.add" in page_text(page)


@pytest.mark.parametrize("task_id", ["", None, "a\nb", "..", HOSTILE, "x" * 5000])
def test_ids_of_any_kind(client, task_id):
    seen(view(running=[{"id": task_id, "name": None, "started": None}]))

    assert client.get(WORKERS).status_code == 200


def test_what_one_ran_that_fell_silent(client, broker):
    last_seen_at = timezone.now() - timedelta(hours=3)
    running = [{"id": "a", "name": "tests.add", "started": last_seen_at.timestamp() - 5, "pid": 7}]
    Worker.objects.create(
        name="w", start=uuid4(), started_at=last_seen_at, last_seen_at=last_seen_at,
        last_snapshot={"pool": "prefork", "running": running},
    )  # fmt: skip
    seen(view())

    words = page_text(client.get(f"{WORKERS}w/change/"))

    assert "It does not answer." in words
    assert re.search(r"Had run for .* tests.add a 5.0 s 7", words)


def test_an_order_can_go_to_all_that_answer(client):
    seen(view(), view(name="w2@here", pool="solo"), view(name="w3@here", foreign=True))

    assert "all that answer" in page_text(client.get(WORKERS))
    page = client.get(f"{WORKERS}order/enable_events/", {"all": "1"})
    assert "Enable events: 2 workers are asked. w1@here" in page_text(page)
    assert page.content.count(b'type="hidden" name="name"') == 2
    page = client.get(f"{WORKERS}order/pool_grow/", {"all": "1"})
    assert "Grow the pool: 1 worker is asked. w1@here consumes nothing prefork × 2" in page_text(
        page
    )


def test_what_nobody_can_do_is_not_offered(client):
    seen(view(pool="solo"))

    page = client.get(WORKERS)

    assert b"order/pool_grow/" not in page.content
    assert b"order/shut_down/" in page.content


def test_queues_to_choose_from_follow_the_workers(client):
    seen(view(queues=["mail"]), view(name="w2@here", queues=["special"]))

    def offered(verb):
        page = client.get(f"{WORKERS}order/{verb}/", {"name": "w2@here"})
        return [value for value, _label in page.context_data["form"].fields["queue"].choices]

    assert offered("add_consumer") == ["celery", "mail", "special"]
    assert offered("cancel_consumer") == ["special"]


def test_markup_is_text(client):
    hostile = {"id": HOSTILE, "name": HOSTILE, "started": HOSTILE}
    seen(view(name=HOSTILE, pool=HOSTILE, queues=[HOSTILE], running=[hostile]))

    page = client.get(WORKERS)

    assert HOSTILE.encode() not in page.content
    assert page.content.count(b"&lt;script&gt;alert(1)") >= 4


def test_nobody_answers(client, broker):
    page = client.get(WORKERS)

    assert page.status_code == 200
    assert "No worker answered within a second" in page_text(page)


@pytest.mark.parametrize("ill", ["no_broker", "mute_broker"])
def test_the_broker_does_not_answer(client, request, ill):
    request.getfixturevalue(ill)
    began = time.monotonic()

    page = client.get(WORKERS)

    assert page.status_code == 200
    assert (
        "The broker does not answer. What is shown is what the workers last wrote down"
        in page_text(page)
    )
    assert b"redis" not in page.content
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("path", ["w2@here/change/", "x/", "_/change/"])
def test_nobody_of_that_name(client, path):
    seen(view())

    assert client.get(WORKERS + path, follow=True).status_code == 404


@pytest.mark.parametrize("name", ["w1@here", "w/ü?&#<b>@h", "x" * 200, "a_2Fb"])
def test_a_page_of_its_own(client, no_broker, name):
    running = [{"id": "a", "name": "tests.add", "started": 1.0, "pid": 7}]
    seen(view(name=name, running=running, running_count=1))
    (link,) = re.findall(r'<th scope="row"><a href="([^"]*)"', client.get(WORKERS).content.decode())

    page = client.get(html.unescape(link))

    assert page.status_code == 200
    assert page.context_data["seen"].name == name
    assert "Running (1)" in page_text(page)


def test_a_silent_one_stays_with_what_it_ran(client, broker):
    last_snapshot = {
        "pool": "prefork",
        "queues": ["mail"],
        "running": [{"id": "a", "name": "tests.add"}],
    }
    moment = timezone.now() - timedelta(minutes=5)
    Worker.objects.create(
        name="w9",
        start=uuid4(),
        started_at=moment,
        last_seen_at=moment,
        last_snapshot=last_snapshot,
    )

    words = page_text(client.get(WORKERS))
    assert "w9 silent since" in words
    assert "tests.add" in words
    assert "It does not answer" in page_text(client.get(f"{WORKERS}w9/change/"))


def test_one_that_stopped_and_two_of_one_name(client, broker):
    now = timezone.now()
    known = {"started_at": now, "last_seen_at": now}
    Worker.objects.create(name="gone", start=uuid4(), stopped_at=now, **known)
    Worker.objects.create(name="twin", start=uuid4(), duplicate_seen_at=now, **known)

    words = page_text(client.get(WORKERS))

    assert "gone stopped" in words
    assert "Two workers have this name" in words


def test_one_of_another_app(client):
    seen(WorkerView(name="other@there", foreign=True))

    assert "without the console" in page_text(client.get(WORKERS))


@pytest.mark.parametrize("path", ["add/", "w1@here/delete/"])
def test_nothing_is_made_or_deleted_by_hand(client, path):
    seen(view())

    assert client.post(WORKERS + path, {"name": "x"}).status_code == 403


@pytest.mark.parametrize("path", ["", "?q=x", "?p=9", "?name__in=x", "w1@here/history/"])
def test_nothing_asks_the_database_for_a_table_that_is_none(client, path):
    seen(view())

    assert client.get(WORKERS + path).status_code in {200, 302, 404}


def test_a_post_does_nothing(client):
    seen(view())

    assert client.post(WORKERS, {"action": "delete_selected"}).status_code in {200, 405}


@pytest.mark.parametrize(
    "told",
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
    ids=lambda told: next(iter(told)),
)
def test_a_reply_that_makes_no_sense_or_is_huge(client, told):
    for path in ("", "w1@here/change/"):
        seen(control.view("w1@here", {"pool": "prefork"} | told))
        page = client.get(WORKERS + path)
        assert page.status_code == 200
        assert len(page.content) < 400_000


@pytest.mark.parametrize(
    "told",
    [
        {"tasks": 7},
        {"tasks": [7]},
        {"tasks": [], "settings": 7},
        {"tasks": [{"name": "x" * 999}] * 50_000},
    ],
)
def test_details_that_make_no_sense_or_are_huge(client, monkeypatch, told):
    monkeypatch.setattr(control.snapshots, "ask", lambda *_, **__: [("w1@here", told)])
    seen(view())

    page = client.get(WORKERS + "w1@here/change/")
    assert page.status_code == 200
    assert len(page.content) < 1_500_000
