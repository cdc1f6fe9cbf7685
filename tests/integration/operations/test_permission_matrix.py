"""Permission × verb × method, from the table of verbs: a viewer gets 403 for every verb."""

import uuid

import pytest

from tasks_admin.lib.verbs import VERBS, WORKER_COMMANDS
from tasks_admin.models import Operation, QuarantinedMessage, Worker
from tests.conftest import VIEWABLE_MODELS, grant
from tests.stack.workers.test_heartbeats import make_worker
from tests.support.factories import (
    make_failure_group,
    make_operation,
    make_result,
    make_selectable,
)
from tests.support.pages import (
    FAILURE_GROUPS,
    OPERATIONS,
    PERIODIC,
    QUEUES,
    RESULTS,
    WORKERS,
    bulk_actions,
)

pytestmark = pytest.mark.django_db
METHODS = ("get", "head", "post", "put", "patch", "delete", "options", "trace")
STAFF_VERBS = sorted(verb.name for verb in VERBS.values() if verb.permission)
#: Bulk actions of lists that a viewer can open; they are posted.
BULK_ACTIONS = bulk_actions()
OPERATION_VERBS = ("pause", "resume", "abort", "throttle", "approve")


def operation_url(verb):
    return f"{OPERATIONS}{make_operation(1).pk}/{verb}/"


def failure_group_url(verb):
    return f"{FAILURE_GROUPS}{make_failure_group().pk}/{verb}/"


def queue_url(verb):
    purged = make_operation(1)
    Operation.objects.filter(pk=purged.pk).update(verb="purge_queue")
    QuarantinedMessage.objects.create(operation=purged, queue="mail", payload=b"{}")
    return f"{QUEUES}mail/{verb}/?operation={purged.pk}"


def worker_url(verb):
    Worker.objects.all().delete()
    return f"{WORKERS}command/{verb}/?name={make_worker('w').pk}"


def url_of(verb):
    """The URL of a verb that has its own page; it responds with 403 to every method."""
    if verb in WORKER_COMMANDS:
        return worker_url(verb)
    if verb in OPERATION_VERBS:
        return operation_url(verb)
    if verb in {"resolve", "mute", "reopen"}:
        return failure_group_url(verb)
    if verb.endswith("_queue"):
        return queue_url(verb)
    if verb.endswith("_periodic"):
        return f"{PERIODIC}action/{verb}/?name=housekeeping"
    assert verb == "reveal_arguments", f"{verb} has no URL in this test"
    return f"{RESULTS}{make_result().pk}/reveal/"


@pytest.fixture
def viewer(as_user, make_user):
    """A client of staff who can view all pages, and who may perform `verbs` only."""

    def sign_in(*verbs):
        views = ["auth.view_user", *(f"tasks_admin.view_{noun}" for noun in VIEWABLE_MODELS)]
        granted = [VERBS[verb].full_permission for verb in verbs]
        return as_user(grant(make_user(is_staff=True), *views, *granted))

    return sign_in


@pytest.mark.parametrize("all_others", [True, False])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("verb", [verb for verb in STAFF_VERBS if verb not in BULK_ACTIONS])
def test_403_by_every_method(viewer, no_broker, verb, method, all_others):
    client = viewer(*(other for other in STAFF_VERBS if other != verb) if all_others else ())
    path, before = url_of(verb), Operation.objects.count()
    query = path.partition("?")[2].split("=") if "?" in path else []
    data = {"reason": "r"} | ({query[0]: query[1]} if query else {})

    response = getattr(client, method)(path, *([data] if method == "post" else []))

    assert response.status_code == 403
    assert Operation.objects.count() == before


@pytest.mark.parametrize("all_others", [True, False])
@pytest.mark.parametrize("verb", BULK_ACTIONS)
def test_403_for_a_bulk_action(viewer, verb, all_others):
    client = viewer(*(other for other in STAFF_VERBS if other != verb) if all_others else ())
    rows = make_selectable(verb)
    data = {"action": verb, "_selected_action": [rows[0].pk], "index": "0", "confirm": "Yes"}
    data |= {"reason": "r", "key": uuid.uuid4(), "select_across": "0", "shown": "x"}

    assert client.post(BULK_ACTIONS[verb], data).status_code == 403
    assert not Operation.objects.exists()


@pytest.mark.parametrize("act", ["retry", "edit"])
@pytest.mark.parametrize("method", METHODS)
def test_403_for_the_retry_of_an_operation_or_a_failure_group(viewer, act, method):
    paths = [operation_url(act), failure_group_url(act)]
    client, before = viewer(), Operation.objects.count()

    assert [getattr(client, method)(path).status_code for path in paths] == [403, 403]
    assert Operation.objects.count() == before
