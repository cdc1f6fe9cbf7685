"""Every dialect keeps its contract; a database without a dialect is refused."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, connections, transaction
from django.db.models.functions import Now

from tasks_admin.models import FailureGroup, RateLimitCounter, Result
from tasks_admin.models.dialects import DIALECTS, MAX_QUOTED_LENGTH, dialect_of
from tasks_admin.models.dialects.contract import Dialect
from tests.support.factories import make_result

TABLE = RateLimitCounter._meta.db_table


@pytest.fixture
def dialect():
    """The dialect of the database on which the tests run."""
    return dialect_of(connection)


def select(sql, params=()):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {sql}", params)
        return cursor.fetchone()[0]


def write(sql, params=()):
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.rowcount


@pytest.mark.parametrize("vendor", sorted(DIALECTS))
def test_each_has_all_that_the_contract_names(vendor):
    found = DIALECTS[vendor]

    assert isinstance(found, Dialect)
    assert all(getattr(found, name) for name in ("now", "current_hour"))


@pytest.mark.parametrize("vendor", ["other", ""])
def test_another_database_is_refused_in_one_sentence(vendor):
    text = (
        f"tasks_admin does not support the database '{vendor}' of the alias 'default': "
        f"use one of {', '.join(sorted(DIALECTS))}."
    )

    with pytest.raises(ImproperlyConfigured) as refusal:
        dialect_of(SimpleNamespace(vendor=vendor, alias="default"))

    assert str(refusal.value) == text


@pytest.mark.django_db
class TestTime:
    """Times that SQL writes are those that Django reads."""

    def stored(self, expression, params=()):
        group = FailureGroup.objects.create(digest="a", first_at=Now(), last_at=Now())
        write(f"UPDATE {FailureGroup._meta.db_table} SET first_at = {expression}", params)
        group.refresh_from_db()
        return group.first_at

    def test_now(self, dialect):
        assert abs(self.stored(dialect.now) - datetime.now(UTC)) < timedelta(minutes=1)

    def test_the_current_hour(self, dialect):
        before = datetime.now(UTC)

        hour = self.stored(dialect.current_hour)

        assert (hour.minute, hour.second, hour.microsecond) == (0, 0, 0)
        assert hour <= datetime.now(UTC)
        assert hour > before - timedelta(hours=1)

    def test_seconds_ago(self, dialect):
        now = datetime.now(UTC)

        moment = self.stored(*dialect.seconds_ago(90.5, now=now))

        assert abs(now - timedelta(seconds=90.5) - moment) < timedelta(minutes=1)


@pytest.mark.django_db
class TestQuotedText:
    """The text up to the next quotation mark."""

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ('{"a": "mail", "b": "x"}', "mail"),
            ('{"a": "mail', "mail"),
            ('{"a": ""}', ""),
            ("", ""),
            ('{"a": "' + "x" * 999 + '"}', "x" * MAX_QUOTED_LENGTH),
        ],
    )
    def test_from_a_place_on(self, dialect, text, found):
        column = "CAST(%s AS VARCHAR(2000))"
        sql = dialect.quoted_text(column, 8)

        assert select(sql, [text] * sql.count("%s")) == found


@pytest.mark.django_db
class TestPrefix:
    """A prefix is found as it is written."""

    def test_only_that(self, dialect):
        for task_id in ("ab-1", "ab-2", "AB-3", "aa-9", "ac-0", "ab"):
            make_result(task_id=task_id)

        found = Result.objects.filter(**dialect.prefix_lookup("task_id", "ab-"))

        assert sorted(found.values_list("task_id", flat=True)) == ["ab-1", "ab-2"]


@pytest.mark.django_db
class TestConflict:
    """An INSERT meets a row with the same key."""

    def insert(self, dialect, end, count):
        sql = f"INSERT INTO {TABLE} (key, count, expires_at) VALUES ('k', %s, {dialect.now})"
        return write(sql + end, [count])

    def test_the_row_is_kept(self, dialect):
        assert self.insert(dialect, dialect.do_nothing("key"), 1) == 1
        assert self.insert(dialect, dialect.do_nothing("key"), 2) == 0

        assert RateLimitCounter.objects.get().count == 1

    def test_the_row_is_updated(self, dialect):
        added = {"count": f"{TABLE}.count + {dialect.new_value('count')}"}

        for _time in range(2):
            assert self.insert(dialect, dialect.do_update("key", added), 3) == 1

        assert RateLimitCounter.objects.get().count == 6

    def test_the_row_is_updated_on_a_condition(self, dialect):
        new = {"count": dialect.new_value("count")}
        end = dialect.do_update("key", new, where=f"{TABLE}.count < 2")

        assert [self.insert(dialect, end, count) for count in (1, 5, 9)] == [1, 1, 0]
        assert RateLimitCounter.objects.get().count == 5


@pytest.mark.django_db(transaction=True)
class TestTransactions:
    """After an error, whether a transaction was committed."""

    def test_committed_or_rolled_back(self, dialect):
        ids = []
        for fails in (False, True):
            with transaction.atomic(), connection.cursor() as cursor:
                ids.append(dialect.transaction_id(cursor))
                transaction.set_rollback(fails)
        if None in ids:
            pytest.skip(f"{connection.vendor} loses no replies to a commit")

        with connections["default"].cursor() as cursor:
            assert [dialect.was_committed(cursor, number) for number in ids] == [True, False]
