"""`/healthz` and `/readyz`: names of parts without details, within seconds."""

import time

import pytest
from celery.contrib.testing.worker import start_worker
from django.db import DatabaseError, connection

from opsconsole.celery import app

#: Seconds on a busy machine; without timeouts the response would never come.
MAX_SECONDS = 30


def test_healthz_needs_no_broker(client, no_broker):
    response = client.get("/healthz")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_ready(client, broker, transactional_db):
    with start_worker(app, perform_ping_check=False, queues=["mail"]):
        response = client.get("/readyz")

    assert response.status_code == 200
    assert response.json() == {
        "status": "ok", "database": "ok", "broker": "ok", "worker": "ok",
    }  # fmt: skip


def test_no_worker(client, broker, db):
    response = client.get("/readyz")

    assert response.status_code == 503
    assert response.json() == {
        "status": "unavailable", "database": "ok", "broker": "ok", "worker": "no answer",
    }  # fmt: skip


@pytest.mark.parametrize("ill", ["no_broker", "unresponsive_broker"])
def test_no_broker(client, request, db, ill):
    request.getfixturevalue(ill)
    began = time.monotonic()

    response = client.get("/readyz")

    assert response.status_code == 503
    assert response.json() == {
        "status": "unavailable", "database": "ok", "broker": "no answer", "worker": "unknown",
    }  # fmt: skip
    assert time.monotonic() - began < MAX_SECONDS
    assert b"redis" not in response.content


def test_no_database(client, no_broker, db):
    def refuse(*args):
        raise DatabaseError("password authentication failed for user ops")

    with connection.execute_wrapper(refuse):
        response = client.get("/readyz")

    assert response.status_code == 503
    assert response.json()["database"] == "no answer"
    assert b"ops" not in response.content


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_methods_and_caching(client, no_broker, db, path):
    assert client.post(path).status_code == 405
    assert "no-store" in client.get(path)["Cache-Control"]
    assert client.head(path).content == b""
