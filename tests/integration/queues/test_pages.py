"""The pages of queues: what they show, ask and do."""

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
def forgetful(settings):
    """What was said is kept for two seconds."""
    settings.TASKS_ADMIN_CONTROL_TIMEOUT = 0.05
    control.clear_cache()
    queues.forget()
    yield
    control.clear_cache()
    queues.forget()


@pytest.fixture
def client(as_user, alice):
    return as_user(alice)


def test_the_list(client, broker):
    publish_messages(3)
    set_worker_snapshot()

    words = page_text(client.get(QUEUES))

    assert "mail consumed 3" in words
    assert "celery nobody consumes this 0" in words


def test_one(client, broker):
    add_queue_minutes((3, 0), (4, 1))
    set_worker_snapshot()

    page = client.get(f"{QUEUES}mail/change/")

    assert b"<svg" in page.content
    assert "At most 4 waited; 1 were taken." in page_text(page)


@pytest.mark.parametrize("ill", ["no_broker", "mute_broker"])
def test_the_broker_does_not_answer(client, request, ill):
    request.getfixturevalue(ill)
    add_queue_minutes((7, 0))

    for path in (QUEUES, f"{QUEUES}mail/change/"):
        words = page_text(client.get(path))
        assert "The broker does not respond. What is shown is what was noted last." in words
        assert "nobody consumes" not in words
        assert "7" in words


@pytest.mark.parametrize("path", ["nobody/change/", "nobody/pause_queue/", "mail/what_queue/"])
def test_what_is_not_there(client, broker, path):
    response = client.get(QUEUES + path)

    assert response.status_code == 404 or b"console-warning" in response.content


@pytest.mark.parametrize("name", ["a/b", "q?x=1", HOSTILE, "队列", "x" * 200, "a_b"])
def test_names_of_any_kind(client, broker, name):
    set_worker_snapshot(queues=[name])

    page = client.get(QUEUES)

    assert HOSTILE.encode() not in page.content
    seen = queues.one(name)[0]
    page = client.get(seen.url)
    assert page.status_code == 200
    assert HOSTILE.encode() not in page.content
    done = client.post(seen.url.replace("/change/", "/pause_queue/"), {"reason": "r"})
    assert done.url.startswith(OPERATIONS)
    assert Queue.objects.get().name == name


def test_a_reason_is_needed(client, broker):
    client.post(f"{QUEUES}mail/purge_queue/", {"reason": " "})

    assert not Operation.objects.exists()


def test_it_says_what_it_will_do(client):
    words = page_text(client.get(f"{QUEUES}mail/purge_queue/"))

    assert "to quarantine" in words


def test_a_look_at_the_next_messages(client, broker):
    publish_messages(2, kwargs={"password": "hunter2", "name": HOSTILE})

    page = client.post(f"{QUEUES}mail/peek_queue/")

    assert "tests.t" in page_text(page)
    assert "hunter2" not in page.content.decode()
    assert HOSTILE not in page.content.decode()
    assert "no-store" in page["Cache-Control"]
    assert Operation.objects.get().verb == "peek_queue"
    assert broker.llen("mail") == 2


def test_messages_that_are_no_json_are_not_read(client, broker):
    message = {
        "body": "gASVBwAAAAAAAACMA2FiY5Qu",
        "content-type": "application/x-python-serialize",
        "headers": {"task": "t"},
        "properties": {"body_encoding": "base64"},
    }
    broker.lpush("mail", json.dumps(message))

    words = page_text(client.post(f"{QUEUES}mail/peek_queue/"))

    assert "not JSON (application/x-python-serialize): not read" in words


def test_a_restoration_is_offered(client, broker, settings):
    publish_messages(3)
    client.post(f"{QUEUES}mail/purge_queue/", {"reason": "r"})
    dispatcher.sweep()
    purge = Operation.objects.get()
    set_worker_snapshot()

    assert re.search(r"In quarantine .* 3 Restore", page_text(client.get(f"{QUEUES}mail/change/")))
    settings.TASKS_ADMIN_COUNT_BOUND = 2
    assert re.search(
        r"In quarantine .* 2\+ Restore", page_text(client.get(f"{QUEUES}mail/change/"))
    )
    page = client.get(f"{QUEUES}mail/restore_queue/", {"operation": purge.pk})
    assert f"({purge})" in page_text(page)
    client.post(f"{QUEUES}mail/restore_queue/", {"operation": purge.pk, "reason": "r"})
    dispatcher.sweep()
    assert broker.llen("mail") == 3
