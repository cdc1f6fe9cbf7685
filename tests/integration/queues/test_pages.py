"""The pages of queues, and the actions on them."""

import json
import re

import pytest

from tasks_admin import dispatcher, queues
from tasks_admin.integrations import control
from tasks_admin.models import Operation, Queue
from tests.support.pages import OPERATIONS, QUEUES, page_text
from tests.support.queue_data import add_queue_minutes, publish_messages, set_worker_snapshot

pytestmark = pytest.mark.django_db
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def clear_caches(settings):
    """The process keeps snapshots for two seconds."""
    settings.TASKS_ADMIN_CONTROL_TIMEOUT = 0.05
    control.clear_cache()
    queues.clear_cache()
    yield
    control.clear_cache()
    queues.clear_cache()


@pytest.fixture
def client(as_user, alice):
    return as_user(alice)


def test_the_list(client, broker):
    publish_messages(3)
    set_worker_snapshot()

    text = page_text(client.get(QUEUES))

    assert "mail active 3" in text
    assert "celery no consumers 0" in text


def test_page_of_a_queue(client, broker):
    add_queue_minutes((3, 0), (4, 1))
    set_worker_snapshot()

    page = client.get(f"{QUEUES}mail/change/")

    assert b"<svg" in page.content
    assert "Peak 4 waiting · 1 processed" in page_text(page)


@pytest.mark.parametrize("ill", ["no_broker", "unresponsive_broker"])
def test_broker_unreachable(client, request, ill):
    request.getfixturevalue(ill)
    add_queue_minutes((7, 0))

    for path in (QUEUES, f"{QUEUES}mail/change/"):
        text = page_text(client.get(path))
        assert "The broker does not respond. Showing the last known values." in text
        assert "no consumers" not in text
        assert "7" in text


@pytest.mark.parametrize("path", ["unknown/change/", "unknown/pause_queue/", "mail/what_queue/"])
def test_unknown_queue_or_action(client, broker, path):
    response = client.get(QUEUES + path)

    assert response.status_code == 404 or b"console-warning" in response.content


@pytest.mark.parametrize("name", ["a/b", "q?x=1", HOSTILE, "队列", "x" * 200, "a_b"])
def test_queue_name_of_any_kind(client, broker, name):
    set_worker_snapshot(queues=[name])

    page = client.get(QUEUES)

    assert HOSTILE.encode() not in page.content
    queue = queues.find(name)[0]
    page = client.get(queue.url)
    assert page.status_code == 200
    assert HOSTILE.encode() not in page.content
    done = client.post(queue.url.replace("/change/", "/pause_queue/"), {"reason": "r"})
    assert done.url.startswith(OPERATIONS)
    assert Queue.objects.get().name == name


def test_reason_is_required(client, broker):
    client.post(f"{QUEUES}mail/purge_queue/", {"reason": " "})

    assert not Operation.objects.exists()


def test_page_shows_the_consequence(client):
    text = page_text(client.get(f"{QUEUES}mail/purge_queue/"))

    assert "to quarantine" in text


def test_peek(client, broker):
    publish_messages(2, kwargs={"password": "hunter2", "name": HOSTILE})

    page = client.post(f"{QUEUES}mail/peek_queue/")

    assert "tests.t" in page_text(page)
    assert "hunter2" not in page.content.decode()
    assert HOSTILE not in page.content.decode()
    assert "no-store" in page["Cache-Control"]
    assert Operation.objects.get().verb == "peek_queue"
    assert broker.llen("mail") == 2


def test_peek_does_not_decode_other_content_than_json(client, broker):
    message = {
        "body": "gASVBwAAAAAAAACMA2FiY5Qu",
        "content-type": "application/x-python-serialize",
        "headers": {"task": "t"},
        "properties": {"body_encoding": "base64"},
    }
    broker.lpush("mail", json.dumps(message))

    text = page_text(client.post(f"{QUEUES}mail/peek_queue/"))

    assert "not decoded: not JSON (application/x-python-serialize)" in text


def test_purged_messages_can_be_restored(client, broker, settings):
    publish_messages(3)
    client.post(f"{QUEUES}mail/purge_queue/", {"reason": "r"})
    dispatcher.sweep()
    purge = Operation.objects.get()
    set_worker_snapshot()

    def text():
        return page_text(client.get(f"{QUEUES}mail/change/"))

    assert re.search(r"Purged messages .* 3 Restore", text())
    settings.TASKS_ADMIN_COUNT_BOUND = 2
    assert re.search(r"Purged messages .* 2\+ Restore", text())
    page = client.get(f"{QUEUES}mail/restore_queue/", {"operation": purge.pk})
    assert f"({purge})" in page_text(page)
    client.post(f"{QUEUES}mail/restore_queue/", {"operation": purge.pk, "reason": "r"})
    dispatcher.sweep()
    assert broker.llen("mail") == 3
