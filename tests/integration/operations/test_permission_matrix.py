"""Permission × verb × method, made of the table of verbs: who may only look gets 403 everywhere."""

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
#: Chosen in a list that the user may view: to ask for it is a POST.
CHOSEN = bulk_actions()
MOVES = ("pause", "resume", "abort", "throttle", "approve")


def of_an_operation(verb):
    return f"{OPERATIONS}{make_operation(1).pk}/{verb}/"


def of_a_failure_group(verb):
    return f"{FAILURE_GROUPS}{make_failure_group().pk}/{verb}/"


def of_a_queue(verb):
    purged = make_operation(1)
    Operation.objects.filter(pk=purged.pk).update(verb="purge_queue")
    QuarantinedMessage.objects.create(operation=purged, queue="mail", payload=b"{}")
    return f"{QUEUES}mail/{verb}/?operation={purged.pk}"


def of_a_worker(verb):
    Worker.objects.all().delete()
    return f"{WORKERS}command/{verb}/?name={make_worker('w').pk}"


def own_address(verb):
    """Where a verb is done that has an address of its own; there, 403 answers every method."""
    if verb in WORKER_COMMANDS:
        return of_a_worker(verb)
    if verb in MOVES:
        return of_an_operation(verb)
    if verb in {"resolve", "mute", "reopen"}:
        return of_a_failure_group(verb)
    if verb.endswith("_queue"):
        return of_a_queue(verb)
    if verb.endswith("_periodic"):
        return f"{PERIODIC}action/{verb}/?name=housekeeping"
    assert verb == "reveal_arguments", f"where is {verb} done?"
    return f"{RESULTS}{make_result().pk}/reveal/"


@pytest.fixture
def viewer(as_user, make_user):
    """Staff who may look at everything: with all other permissions, or with none."""

    def sign_in(*verbs):
        looks = ["auth.view_user", *(f"tasks_admin.view_{noun}" for noun in VIEWABLE_MODELS)]
        granted = [VERBS[verb].full_permission for verb in verbs]
        return as_user(grant(make_user(is_staff=True), *looks, *granted))

    return sign_in


@pytest.mark.parametrize("all_others", [True, False])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("verb", [verb for verb in STAFF_VERBS if verb not in CHOSEN])
def test_403_by_every_method(viewer, no_broker, verb, method, all_others):
    client = viewer(*(other for other in STAFF_VERBS if other != verb) if all_others else ())
    path, before = own_address(verb), Operation.objects.count()
    query = path.partition("?")[2].split("=") if "?" in path else []
    data = {"reason": "r"} | ({query[0]: query[1]} if query else {})

    response = getattr(client, method)(path, *([data] if method == "post" else []))

    assert response.status_code == 403
    assert Operation.objects.count() == before


@pytest.mark.parametrize("all_others", [True, False])
@pytest.mark.parametrize("verb", CHOSEN)
def test_403_for_what_is_chosen_in_a_list(viewer, verb, all_others):
    client = viewer(*(other for other in STAFF_VERBS if other != verb) if all_others else ())
    rows = make_selectable(verb)
    data = {"action": verb, "_selected_action": [rows[0].pk], "index": "0", "confirm": "Yes"}
    data |= {"reason": "r", "key": uuid.uuid4(), "select_across": "0", "shown": "x"}

    assert client.post(CHOSEN[verb], data).status_code == 403
    assert not Operation.objects.exists()


@pytest.mark.parametrize("act", ["retry", "edit"])
@pytest.mark.parametrize("method", METHODS)
def test_403_for_a_whole_operation_or_cause(viewer, act, method):
    paths = [of_an_operation(act), of_a_failure_group(act)]
    client, before = viewer(), Operation.objects.count()

    assert [getattr(client, method)(path).status_code for path in paths] == [403, 403]
    assert Operation.objects.count() == before
