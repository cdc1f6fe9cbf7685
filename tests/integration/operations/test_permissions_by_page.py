"""A matrix of permissions: every kind of user, every verb, every page and every HTTP method."""

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

ACTORS = ("alice", "bob", "charlie", "mallory", "anonymous")
#: The users with the permissions of all verbs: the superuser and the operator.
OPERATORS = {"alice", "bob"}
VIEWERS = {"alice", "bob", "charlie"}
STAFF_VERBS = sorted(verb.name for verb in VERBS.values() if verb.permission)
#: The bulk actions that show the confirmation first; edit_and_retry shows a form before it.
BULK_ACTIONS = {verb: path for verb, path in bulk_actions().items() if verb != "edit_and_retry"}
FAILURE_GROUP_VERBS = {"resolve", "mute", "reopen"}
#: The times of a worker that does not reply: its commands are recorded nevertheless.
WORKER_TIMES = dict.fromkeys(("started_at", "last_seen_at"), "2026-01-01T00:00Z")
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
    """A task that requires no permission of its own."""


@pytest.fixture(params=ACTORS)
def actor(request):
    """Each kind of user, and an anonymous one."""
    return request.param


@pytest.fixture(autouse=True)
def beat_table(monkeypatch):
    """Periodic tasks can be enabled and disabled."""
    monkeypatch.setattr("tasks_admin.periodic.actions.beat_model", BeatTable)


@pytest.fixture
def reachable(request):
    """A broker if the verb needs one; otherwise an address that refuses connections at once."""
    verb = request.getfixturevalue("verb")
    request.getfixturevalue("broker" if verb == "peek_queue" else "no_broker")


@pytest.fixture
def client(request, actor, as_user, db):
    """A client that is signed in as the actor."""
    return Client() if actor == "anonymous" else as_user(request.getfixturevalue(actor))


def perform(client: Client, verb: str) -> bool:
    """Perform the verb like a browser, in both steps; return whether it was performed."""
    if verb in BULK_ACTIONS:
        path = BULK_ACTIONS[verb]
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
            name="w", start_id=uuid.uuid4(), last_snapshot=last_snapshot, **WORKER_TIMES
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
    if verb in FAILURE_GROUP_VERBS:
        group = make_failure_group(state="muted" if verb == "reopen" else "open")
        client.post(f"{pages.FAILURE_GROUPS}{group.pk}/{verb}/", {"reason": "r"})
        return Operation.objects.filter(verb=verb).exists()
    operation = make_operation(1)
    before = {"resume": "paused", "approve": "pending"}.get(verb, "running")
    Operation.objects.update(state=before)
    client.post(f"{OPERATIONS}{operation.pk}/{verb}/", {"reason": "r"})
    return Operation.objects.filter(verb=verb, parent=operation).exists()


@pytest.mark.parametrize("verb", STAFF_VERBS)
def test_a_verb_requires_its_permission(client, actor, reachable, verb):
    assert perform(client, verb) is (actor in OPERATORS)


@pytest.mark.parametrize("verb", STAFF_VERBS)
@pytest.mark.parametrize("has", [True, False])
def test_the_permission_is_sufficient_and_all_others_are_not(
    db, as_user, reachable, make_user, verb, has
):
    nouns = ("failuregroup", "operation", "periodictask", "queue", "result", "worker")
    views = ["auth.view_user", *(f"tasks_admin.view_{noun}" for noun in nouns)]
    names = [other for other in STAFF_VERBS if (other == verb) is has]
    verbs = [VERBS[other].full_permission for other in names]
    user = grant(make_user(is_staff=True), *views, *verbs)

    assert perform(as_user(user), verb) is has


@pytest.mark.parametrize("verb", STAFF_VERBS)
@pytest.mark.parametrize("change", [{"is_staff": False}, {"is_active": False}])
def test_a_user_who_left_the_staff_cannot_act(db, reachable, as_user, alice, verb, change):
    client = as_user(alice)
    User.objects.filter(pk=alice.pk).update(**change)

    assert not perform(client, verb)


@pytest.mark.parametrize("verb", ["pause", "resume", "abort"])
@pytest.mark.parametrize("method", METHODS)
def test_only_a_post_acts_on_an_operation(as_user, alice, verb, method):
    operation = make_operation(1)
    state = "paused" if verb == "resume" else "running"
    Operation.objects.update(state=state)

    response = getattr(as_user(alice), method)(f"{OPERATIONS}{operation.pk}/{verb}/?reason=r")

    shows_page = method in {"get", "head", "post"}
    assert response.status_code == (200 if shows_page else 405)
    assert Operation.objects.filter(verb=verb).count() == 0, "a reason in the URL does not count"
    assert Operation.objects.get().state == state


@pytest.mark.parametrize("verb", [*sorted(FAILURE_GROUP_VERBS), "retry"])
@pytest.mark.parametrize("method", [method for method in METHODS if method != "post"])
def test_only_a_post_acts_on_a_failure_group(as_user, alice, verb, method):
    group = make_failure_group(state="muted" if verb == "reopen" else "open")

    response = getattr(as_user(alice), method)(
        f"{pages.FAILURE_GROUPS}{group.pk}/{verb}/?reason=r&confirm=1"
    )

    assert response.status_code == (200 if method in {"get", "head"} else 405)
    assert not Operation.objects.exists()


@pytest.mark.parametrize("verb", BULK_ACTIONS)
@pytest.mark.parametrize("method", [method for method in METHODS if method != "post"])
def test_no_other_method_starts_a_bulk_action(as_user, alice, verb, method):
    make_users(1)
    make_result()
    query = f"?action={verb}&_selected_action=1&select_across=1&confirm=1&reason=r"

    getattr(as_user(alice), method)(BULK_ACTIONS[verb] + query)

    assert not Operation.objects.exists()


@pytest.mark.parametrize("verb", STAFF_VERBS)
def test_a_post_without_a_csrf_token_does_nothing(db, reachable, alice, verb):
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)

    assert not perform(client, verb)
    assert not Target.objects.exclude(operation__actor__username__startswith="boss").exists()


@pytest.mark.parametrize("verb", sorted(QUEUE_VERBS))
@pytest.mark.parametrize("method", [method for method in METHODS if method != "post"])
def test_only_a_post_acts_on_a_queue(as_user, alice, no_broker, verb, method):
    response = getattr(as_user(alice), method)(f"{pages.QUEUES}mail/{verb}/?reason=r&operation=1")

    assert response.status_code in {200, 404, 405}, "a GET shows the confirmation"
    assert not Operation.objects.exists()


@pytest.mark.parametrize("path", [USERS, RESULTS, OPERATIONS, pages.FAILURE_GROUPS, pages.PERIODIC])
def test_lists_require_the_permission_to_view(client, actor, path):
    expected = 302 if actor == "anonymous" else 200 if actor in VIEWERS else 403

    assert client.get(path).status_code == expected


def test_workers_and_queues_require_the_permission_to_view(client, actor, no_broker):
    expected = 302 if actor == "anonymous" else 200 if actor in VIEWERS else 403

    assert client.get(WORKERS).status_code == expected
    assert client.get(pages.QUEUES).status_code == expected
    assert client.get(f"{pages.QUEUES}mail/change/").status_code == expected


def test_pages_of_one_row_require_the_permission_to_view(client, actor):
    operation, result, group = make_operation(1), make_result(), make_failure_group()
    expected = 302 if actor == "anonymous" else 200 if actor in VIEWERS else 403

    for path in (
        f"{OPERATIONS}{operation.pk}/change/",
        f"{OPERATIONS}{operation.pk}/progress/",
        f"{RESULTS}{result.pk}/change/",
        f"{pages.FAILURE_GROUPS}{group.pk}/change/",
    ):
        assert client.get(path).status_code == expected, path


def test_the_redirect_to_a_result_requires_the_permission_to_view(client, actor):
    row = make_result()

    response = client.get(f"{RESULTS}of/", {"id": row.task_id})

    if actor == "anonymous":
        assert "/login/" in response.url
    elif actor in VIEWERS:
        assert response.url == f"{RESULTS}{row.pk}/change/"
    else:
        assert response.status_code == 403
