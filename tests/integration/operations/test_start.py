"""Start of an operation: recorded and frozen in one transaction, once per confirmation."""

import uuid

import pytest
from django.contrib.auth.models import User

from tasks_admin import accounts, operations
from tasks_admin.lib.errors import NothingToDo, SelectionChanged, WrongState
from tasks_admin.lib.verbs import REQUEST_RESET_EMAIL, SEND_RESET_EMAIL
from tasks_admin.models import Operation, Target
from tasks_admin.operations import Confirmation, Selection
from tests.support.factories import confirmed, make_operation, make_users, run_concurrently


def selection_of(users, excluded=None):
    return Selection(rows=accounts.target_rows(users), excluded=excluded or {})


def start(users=None, **more):
    users = User.objects.filter(username__startswith="u") if users is None else users
    confirmation = more.pop("confirmation", None) or confirmed(more, reason="why")
    given = {"verb": SEND_RESET_EMAIL, "selection": selection_of(users)} | more
    return operations.start(confirmation=confirmation, **given)


def test_it_records_actor_reason_and_number_of_targets(alice):
    make_users(3)

    operation = start(
        selection=selection_of(User.objects.all(), {"inactive": 2}),
        confirmation=Confirmation(actor=alice, reason="why"),
    )

    operation.refresh_from_db()
    assert (operation.actor, operation.actor_name, operation.reason) == (alice, "alice", "why")
    assert (operation.state, operation.total, operation.excluded) == ("running", 4, {"inactive": 2})
    assert operation.targets.count() == 4


def test_the_same_confirmation_starts_one_operation(alice):
    make_users(2)
    key = uuid.uuid4()

    first, second = (start(actor=alice, key=key) for _ in range(2))

    assert first == second
    assert Target.objects.count() == 2


def test_the_same_confirmation_is_recognized_after_its_rows_are_gone(alice):
    make_users(2)
    users = User.objects.filter(username__startswith="u")
    shown, key = selection_of(users).fingerprint(), uuid.uuid4()
    first = start(actor=alice, key=key, shown=shown)
    users.delete()

    assert start(actor=alice, key=key, shown=shown) == first


def test_the_key_of_another_user_is_refused(alice, bob):
    make_users(2)
    key = uuid.uuid4()
    start(User.objects.filter(username="u00000"), actor=alice, key=key)

    with pytest.raises(WrongState):
        start(User.objects.filter(username="u00001"), actor=bob, key=key)

    assert Operation.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_fifty_concurrent_posts_start_one_operation():
    make_users(5)
    boss, key = User.objects.create_superuser("boss"), uuid.uuid4()
    shown = selection_of(User.objects.filter(username__startswith="u")).fingerprint()

    outcomes = run_concurrently(50, lambda n: start(actor=boss, key=key, shown=shown).pk)

    assert set(outcomes) == {Operation.objects.get().pk}
    assert Target.objects.count() == 5


@pytest.mark.django_db(transaction=True)
def test_concurrent_overlapping_operations_select_each_user_once():
    make_users(10)
    boss = User.objects.create_superuser("boss")

    outcomes = run_concurrently(4, lambda n: start(actor=boss, may_be_empty=True))

    assert all(isinstance(outcome, Operation) for outcome in outcomes), outcomes
    assert sum(operation.total for operation in outcomes) == Target.objects.count() == 10


@pytest.mark.parametrize("change", ["more", "fewer", "others"])
def test_a_selection_that_changed_since_is_refused(alice, change):
    users = make_users(3)
    shown = selection_of(User.objects.filter(username__startswith="u")).fingerprint()
    if change in {"fewer", "others"}:
        users[0].delete()
    if change in {"more", "others"}:
        User.objects.create(username="u-new")

    with pytest.raises(SelectionChanged):
        start(actor=alice, shown=shown)

    assert not Operation.objects.exists()
    assert not Target.objects.exists()


def test_a_fingerprint_is_independent_of_the_order():
    assert operations.fingerprint("abc") == operations.fingerprint("cab")
    assert operations.fingerprint("abc") != operations.fingerprint("abd")
    assert operations.fingerprint([]) != operations.fingerprint([""])
    assert operations.fingerprint(["1", "1"]) != operations.fingerprint(["2", "2"])


def test_rows_of_another_operation_change_the_selection(alice):
    make_users(3)
    shown = selection_of(User.objects.filter(username__startswith="u")).fingerprint()
    start(User.objects.filter(username="u00000"))

    with pytest.raises(SelectionChanged):
        start(actor=alice, shown=shown)


def test_an_empty_selection_is_refused(alice):
    with pytest.raises(NothingToDo):
        start(User.objects.filter(username="unknown"), actor=alice)

    assert not Operation.objects.exists()


@pytest.mark.parametrize("no_user", [{"pk__in": []}, {"username": "unknown"}])
def test_a_request_of_a_user_may_have_no_target(db, no_user):
    operation = start(User.objects.filter(**no_user), verb=REQUEST_RESET_EMAIL, may_be_empty=True)

    assert operation.total == 0


def test_the_name_of_a_deleted_actor_is_kept(bob):
    operation = make_operation(1, actor=bob)

    bob.delete()

    operation.refresh_from_db()
    assert (operation.actor, operation.actor_name) == (None, "bob")


def test_an_operation_with_an_unknown_verb_has_a_title(db):
    operation = Operation.objects.create(verb="from_the_future")

    assert operation.title == "from_the_future"
    assert operation.verb_definition is None
    assert str(operation) == f"#{operation.pk} from_the_future"


def test_an_unknown_outcome_can_be_replaced_after_the_end(db):
    operation = make_operation(2)
    operation.targets.update(state="unknown")
    operations.finish_ended()
    operation.refresh_from_db()
    assert operation.is_finished

    operation.targets.all().settle("done")

    assert operation.counts() == {"done": 2}
