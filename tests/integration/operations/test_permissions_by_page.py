"""Who may do what: a matrix of everybody, every verb and every way to ask for it."""

import uuid

import pytest
from celery import shared_task
from django.contrib.auth.models import User
from django.test import Client

from tasks_admin.lib.verbs import VERBS, WORKER_COMMANDS
from tasks_admin.models import Operation, QuarantinedMessage, Target, Worker
from tests.conftest import grant
from tests.support import pages
from tests.support.factories import (
    BeatTable,
    make_failure_group,
    make_operation,
    make_result,
    make_selectable,
    make_users,
)
from tests.support.pages import (
    OPERATIONS,
    RESULTS,
    USERS,
    WORKERS,
    bulk_actions,
    confirm,
    hidden_fields,
    run_action,
)

ACTORS = ("alice", "bob", "charlie", "mallory", "nobody")
#: Who may do what staff can do: the superuser and the operator.
MAY = {"alice", "bob"}
MAY_LOOK = {"alice", "bob", "charlie"}
STAFF_VERBS = sorted(verb.name for verb in VERBS.values() if verb.permission)
#: Those that are confirmed at once; edit_and_retry shows the form of the arguments before.
ACTIONS = {verb: path for verb, path in bulk_actions().items() if verb != "edit_and_retry"}
CAUSE_VERBS = {"resolve", "mute", "reopen"}
#: A worker that does not answer: what it was told is recorded all the same.
SEEN = dict.fromkeys(("started_at", "last_seen_at"), "2026-01-01T00:00Z")
NOW = "2026-01-01T00:00Z"
OPTIONS = {
    "n": "1", "min": "1", "max": "2", "queue": "mail", "task_name": "tests.permitted",
    "rate_limit": "1/m",
}  # fmt: skip
QUEUE_VERBS = {verb for verb in STAFF_VERBS if verb.endswith("_queue")}
PERIODIC_VERBS = {verb for verb in STAFF_VERBS if verb.endswith("_periodic")}
METHODS = ("get", "head", "post", "put", "patch", "delete", "options")


@shared_task(name="tests.permitted")
def permitted(number: int):
    """A task that whoever may edit may run: it is for nothing in particular."""


@pytest.fixture(params=ACTORS)
def actor(request):
    """Each of the cast, and somebody who is not signed in."""
    return request.param


@pytest.fixture(autouse=True)
def with_table(monkeypatch):
    """Periodic tasks can be enabled and disabled."""
    monkeypatch.setattr("tasks_admin.periodic.actions.beat_model", BeatTable)


@pytest.fixture
def reached(request):
    """The broker where a verb needs one; else none, who makes nobody wait."""
    verb = request.getfixturevalue("verb")
    request.getfixturevalue("broker" if verb == "peek_queue" else "no_broker")


@pytest.fixture
def client(request, actor, as_user, db):
    """The browser of that actor."""
    return Client() if actor == "nobody" else as_user(request.getfixturevalue(actor))


def perform(client: Client, verb: str) -> bool:
    """Do it as a browser would, both steps; say whether it was done."""
    if verb in ACTIONS:
        path = ACTIONS[verb]
        page = run_action(client, path, verb, make_selectable(verb))
        if b'name="confirm"' in page.content:
            page = confirm(client, page, path)
        return Operation.objects.filter(verb=verb).exists()
    if verb == "edit_and_retry":
        row = make_result(task="tests.permitted", args=[1])
        page = run_action(client, RESULTS, verb, [row])
        page = client.post(RESULTS, hidden_fields(page) | {"arg-number": "2", "check": "1"})
        if b'name="confirm"' in page.content:
            confirm(client, page, RESULTS)
        return Operation.objects.filter(verb=verb).exists()
    if verb in WORKER_COMMANDS:
        last_snapshot = {"queues": ["mail"]}
        worker = Worker.objects.create(
            name="w", start_id=uuid.uuid4(), last_snapshot=last_snapshot, **SEEN
        )
        client.post(f"{WORKERS}command/{verb}/", {"name": worker.name, "reason": "r"} | OPTIONS)
        worker.delete()
        return Operation.objects.filter(verb=verb).exists()
    if verb in PERIODIC_VERBS:
        client.post(f"{pages.PERIODIC}action/{verb}/", {"reason": "r", "name": "housekeeping"})
        return Operation.objects.filter(verb=verb).exists()
    if verb in QUEUE_VERBS:
        data = {"reason": "r"}
        if verb == "restore_queue":
            purged = make_operation(1, prefix=uuid.uuid4().hex[:8])
            Operation.objects.filter(pk=purged.pk).update(verb="purge_queue", finished_at=NOW)
            QuarantinedMessage.objects.create(operation=purged, queue="mail", payload=b"{}")
            data["operation"] = purged.pk
        client.post(f"{pages.QUEUES}mail/{verb}/", data)
        return Operation.objects.filter(verb=verb).exists()
    if verb == "reveal_arguments":
        client.post(f"{RESULTS}{make_result().pk}/reveal/", {"reason": "r"})
        return Operation.objects.filter(verb=verb).exists()
    if verb in CAUSE_VERBS:
        group = make_failure_group(state="muted" if verb == "reopen" else "open")
        client.post(f"{pages.FAILURE_GROUPS}{group.pk}/{verb}/", {"reason": "r"})
        return Operation.objects.filter(verb=verb).exists()
    operation = make_operation(1)
    before = {"resume": "paused", "approve": "pending"}.get(verb, "running")
    Operation.objects.update(state=before)
    client.post(f"{OPERATIONS}{operation.pk}/{verb}/", {"reason": "r"})
    return Operation.objects.filter(verb=verb, parent=operation).exists()


@pytest.mark.parametrize("verb", STAFF_VERBS)
def test_a_verb_is_for_whom_it_is_permitted(client, actor, reached, verb):
    assert perform(client, verb) is (actor in MAY)


@pytest.mark.parametrize("verb", STAFF_VERBS)
@pytest.mark.parametrize("has", [True, False])
def test_a_permission_is_enough_and_all_others_are_not(db, as_user, reached, make_user, verb, has):
    nouns = ("failuregroup", "operation", "periodictask", "queue", "result", "worker")
    looks = ["auth.view_user", *(f"tasks_admin.view_{noun}" for noun in nouns)]
    names = [other for other in STAFF_VERBS if (other == verb) is has]
    verbs = [VERBS[other].full_permission for other in names]
    clerk = grant(make_user(is_staff=True), *looks, *verbs)

    assert perform(as_user(clerk), verb) is has


@pytest.mark.parametrize("verb", STAFF_VERBS)
@pytest.mark.parametrize("change", [{"is_staff": False}, {"is_active": False}])
def test_who_left_the_staff_may_nothing(db, reached, as_user, alice, verb, change):
    client = as_user(alice)
    User.objects.filter(pk=alice.pk).update(**change)

    assert not perform(client, verb)


@pytest.mark.parametrize("verb", ["pause", "resume", "abort"])
@pytest.mark.parametrize("method", METHODS)
def test_only_a_post_acts(as_user, alice, verb, method):
    operation = make_operation(1)
    state = "paused" if verb == "resume" else "running"
    Operation.objects.update(state=state)

    response = getattr(as_user(alice), method)(f"{OPERATIONS}{operation.pk}/{verb}/?reason=r")

    asks = method in {"get", "head", "post"}
    assert response.status_code == (200 if asks else 405)
    assert Operation.objects.filter(verb=verb).count() == 0, "a reason in the URL does not count"
    assert Operation.objects.get().state == state


@pytest.mark.parametrize("verb", [*sorted(CAUSE_VERBS), "retry"])
@pytest.mark.parametrize("method", [method for method in METHODS if method != "post"])
def test_only_a_post_acts_on_a_cause(as_user, alice, verb, method):
    group = make_failure_group(state="muted" if verb == "reopen" else "open")

    response = getattr(as_user(alice), method)(
        f"{pages.FAILURE_GROUPS}{group.pk}/{verb}/?reason=r&confirm=1"
    )

    assert response.status_code == (200 if method in {"get", "head"} else 405)
    assert not Operation.objects.exists()


@pytest.mark.parametrize("verb", ACTIONS)
@pytest.mark.parametrize("method", [method for method in METHODS if method != "post"])
def test_no_other_method_starts_anything(as_user, alice, verb, method):
    make_users(1)
    make_result()
    query = f"?action={verb}&_selected_action=1&select_across=1&confirm=1&reason=r"

    getattr(as_user(alice), method)(ACTIONS[verb] + query)

    assert not Operation.objects.exists()


@pytest.mark.parametrize("verb", STAFF_VERBS)
def test_a_form_of_another_site_does_nothing(db, reached, alice, verb):
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)

    assert not perform(client, verb)
    assert not Target.objects.exclude(operation__actor__username__startswith="boss").exists()


@pytest.mark.parametrize("verb", sorted(QUEUE_VERBS))
@pytest.mark.parametrize("method", [method for method in METHODS if method != "post"])
def test_only_a_post_acts_on_a_queue(as_user, alice, no_broker, verb, method):
    response = getattr(as_user(alice), method)(f"{pages.QUEUES}mail/{verb}/?reason=r&operation=1")

    assert response.status_code in {200, 404, 405}, "a GET asks first"
    assert not Operation.objects.exists()


@pytest.mark.parametrize("path", [USERS, RESULTS, OPERATIONS, pages.FAILURE_GROUPS, pages.PERIODIC])
def test_lists_are_for_who_may_look(client, actor, path):
    expected = 302 if actor == "nobody" else 200 if actor in MAY_LOOK else 403

    assert client.get(path).status_code == expected


def test_workers_are_for_who_may_look(client, actor, no_broker):
    expected = 302 if actor == "nobody" else 200 if actor in MAY_LOOK else 403

    assert client.get(WORKERS).status_code == expected
    assert client.get(pages.QUEUES).status_code == expected
    assert client.get(f"{pages.QUEUES}mail/change/").status_code == expected


def test_pages_of_one_row_are_for_who_may_look(client, actor):
    operation, result, group = make_operation(1), make_result(), make_failure_group()
    expected = 302 if actor == "nobody" else 200 if actor in MAY_LOOK else 403

    for path in (
        f"{OPERATIONS}{operation.pk}/change/",
        f"{OPERATIONS}{operation.pk}/progress/",
        f"{RESULTS}{result.pk}/change/",
        f"{pages.FAILURE_GROUPS}{group.pk}/change/",
    ):
        assert client.get(path).status_code == expected, path


def test_where_a_result_is_is_for_who_may_look(client, actor):
    row = make_result()

    response = client.get(f"{RESULTS}of/", {"id": row.task_id})

    if actor == "nobody":
        assert "/login/" in response.url
    elif actor in MAY_LOOK:
        assert response.url == f"{RESULTS}{row.pk}/change/"
    else:
        assert response.status_code == 403
