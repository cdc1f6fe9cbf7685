"""Freeze: one INSERT … SELECT for any number of targets, and each lock key once."""

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import CharField, F, Value
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tasks_admin import accounts, operations
from tasks_admin.lib.verbs import SEND_RESET_EMAIL
from tasks_admin.models import Operation, Target
from tasks_admin.operations import Confirmation, Selection
from tests.support.factories import lock_key, make_users


def freeze(users):
    operation = Operation.objects.create(verb=SEND_RESET_EMAIL)
    return operation, Target.objects.freeze(operation, accounts.target_rows(users))


def test_each_row_becomes_a_waiting_target_that_is_due(db):
    (user,) = make_users(1)
    before = timezone.now()

    operation, count = freeze(User.objects.all())

    target = operation.targets.get()
    assert count == 1
    assert (target.subject, target.lock_key) == (str(user.pk), lock_key(user))
    assert (target.state, target.attempt, target.tries, target.crashes) == ("waiting", 0, 0, 0)
    assert (target.reason, target.detail, target.finished_at) == ("", "", None)
    assert abs(target.due_at - before).total_seconds() < 5
    assert list(Target.objects.due()) == [target]


def test_rows_with_a_used_lock_key_are_excluded(db):
    make_users(3)
    freeze(User.objects.filter(username="u00001"))

    operation, count = freeze(User.objects.all())

    assert count == 2
    assert operation.targets.count() == 2


def test_rows_without_a_lock_key_are_never_excluded(db):
    make_users(1)
    rows = User.objects.annotate(
        subject=F("username"), lock_key=Value(None, CharField())
    ).values_list("subject", "lock_key")
    operation = Operation.objects.create(verb=SEND_RESET_EMAIL)

    assert [Target.objects.freeze(operation, rows) for _ in range(2)] == [1, 1]


@pytest.mark.parametrize("no_user", [{"pk__in": []}, {"username": "unknown"}])
def test_a_query_that_matches_nothing_inserts_nothing(db, no_user):
    assert freeze(User.objects.filter(**no_user))[1] == 0


def test_quotes_and_percent_signs_in_values_are_escaped(db):
    User.objects.create(username='100% "sure" \'); DROP TABLE x; --')

    assert freeze(User.objects.filter(username__contains='100% "sure" \');'))[1] == 1


def test_fifty_thousand_users_are_frozen_by_one_statement(db):
    make_users(50_000)
    boss = User.objects.create_superuser("boss")
    users = User.objects.filter(username__startswith="u")
    selection = Selection(rows=accounts.target_rows(users), excluded={})
    shown = selection.fingerprint()

    with CaptureQueriesContext(connection) as queries:
        operation = operations.start(
            verb=SEND_RESET_EMAIL,
            selection=selection,
            confirmation=Confirmation(actor=boss, shown=shown),
        )

    assert operation.total == 50_000
    inserts = [query for query in queries if '"tasks_admin_target"' in query["sql"]]
    assert sum(query["sql"].startswith("INSERT") for query in inserts) == 1
    assert len(queries) <= 8, [query["sql"][:80] for query in queries]
