"""Arguments: a retry sends exactly the original arguments, or the verdict is not exact."""

import json
import uuid
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace

import pytest
from celery.app.task import Context
from celery.utils.saferepr import saferepr
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from kombu.serialization import dumps as encoded
from kombu.serialization import loads as decoded

from opsconsole.celery import app
from tasks_admin.backend import store_published
from tasks_admin.integrations import broker
from tasks_admin.lib.conf import settings as conf
from tasks_admin.models import Result
from tests.support.factories import queued_messages

pytestmark = [
    pytest.mark.django_db,
    # Hypothesis warns that it does not print large examples.
    pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning"),
]

NUMBERS = st.one_of(
    st.integers(), st.integers(-(10**60), 10**60), st.floats(), st.booleans(), st.none()
)
#: Quotes, newlines, NUL, lone surrogates, other scripts, and the marks of truncated reprs.
TEXTS = st.one_of(
    st.text(st.characters(codec=None), max_size=50),
    st.sampled_from(
        ["…", "...", "'\"\\", "\x00", "\ud800", "a\r\nb\u2028", "[1, 2]", "null", "{}"]
    ),
)
#: Up to 100,000 characters; six bytes each at most, so that they stay below the bound.
HUGE = st.builds(str.__mul__, st.text(min_size=1, max_size=3), st.just(33_333))
ZONES = st.sampled_from([None, UTC, timezone(timedelta(hours=5, minutes=45))])
KINDS = st.one_of(
    st.builds(lambda at, zone: at.replace(tzinfo=zone), st.datetimes(), ZONES),
    st.dates(), st.times(), st.uuids(), st.binary(max_size=30), st.decimals(),
)  # fmt: skip
LEAVES = st.one_of(NUMBERS, TEXTS, KINDS)
KEYS = st.one_of(st.text(st.characters(codec=None), max_size=8), st.integers(), st.booleans())
NESTED = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(KEYS, inner, max_size=3),
    ),
    max_leaves=12,
)
DEEP = st.builds(
    lambda leaf, names: _deep(leaf, names),
    LEAVES, st.lists(st.text(max_size=5), min_size=1, max_size=8),
)  # fmt: skip
LONG = st.builds(lambda leaf, count: [leaf] * count, LEAVES, st.sampled_from([0, 1, 1000]))
VALUES = st.one_of(NESTED, DEEP, LONG)
ARGUMENTS = st.tuples(
    st.one_of(st.lists(VALUES, max_size=3).map(tuple), st.tuples(HUGE)),
    st.dictionaries(st.text(min_size=1, max_size=8), VALUES, max_size=2),
)
MANY = settings(
    max_examples=150, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


def _deep(leaf, names):
    for name in names:
        leaf = {name: leaf}
    return leaf


def body(args, kwargs, serializer="json", **more):
    """The bytes of a message's body, as Celery makes it."""
    made = app.amqp.create_task_message(str(uuid.uuid4()), "tests.add", args, kwargs, **more)
    return encoded(made.body, serializer), made


def publish(args, kwargs, **more):
    """Build Celery's message and call our receiver, as a publisher does; return the row."""
    made = app.amqp.create_task_message(str(uuid.uuid4()), "tests.add", args, kwargs, **more)
    store_published(sender="tests.add", headers=made.headers, body=made.body, routing_key="celery")
    return Result.objects.filter(task_id=made.headers["id"]).first(), made


def retry_body(row):
    """The bytes that a retry of a result sends; None if it can't be retried."""
    verdict, args, kwargs = row.arguments
    if verdict != "exact":
        return None
    message = broker.build_message(task_id="x", task="tests.add", args=args, kwargs=kwargs)
    return body(tuple(message.args), message.kwargs)[0][2]


@contextmanager
def accepting(*kinds):
    before = app.conf.accept_content
    app.conf.accept_content = kinds
    yield
    app.conf.accept_content = before


def store_success(task_id, args, kwargs, **headers):
    """Store a success, as a worker does, of a task without a row."""
    known = {"id": task_id, "task": "tests.add", "args": args, "kwargs": kwargs}
    app.backend.store_result(task_id, 1, "SUCCESS", request=Context(known | headers))
    return Result.objects.get(task_id=task_id)


@MANY
@given(ARGUMENTS)
@example((("\U00010000" * 100_000,), {}))
def test_retry_sends_the_original_bytes(arguments):
    sent = body(*arguments)[0][2]

    row, _made = publish(*arguments)

    if len(sent) > conf.ARGUMENTS_MAX_BYTES:  # then a retry is not required
        assert row.inexact_reason in {"", "too_large"}
    else:
        assert row.arguments[0] == "exact"
    retried = retry_body(row)
    assert retried is None or _loaded(retried) == _loaded(sent)


@MANY
@given(ARGUMENTS)
def test_retry_of_a_row_that_the_worker_inserted(arguments):
    (kind, encoding, sent), made = body(*arguments)
    args, kwargs, _embed = decoded(sent, kind, encoding, accept=["application/json"])
    reprs = {name: made.headers[name] for name in ("argsrepr", "kwargsrepr")}

    row = store_success(made.headers["id"], args, kwargs, **reprs)

    retried = retry_body(row)
    assert retried is None or _loaded(retried) == _loaded(sent)


@MANY
@given(ARGUMENTS)
def test_pickled_arguments_are_exact_only_if_json_preserves_them(arguments):
    with accepting("json", "pickle"):
        row, _made = publish(*arguments)

    verdict, args, kwargs = row.arguments
    if verdict == "exact":
        assert repr((tuple(args), kwargs)) == repr(arguments)
    else:
        assert row.inexact_reason in {"not_json", "too_large"}


def _loaded(sent):
    """The value as the worker reads it: duplicate names count once, and NaN equals itself."""
    return repr(json.loads(sent))


@pytest.mark.parametrize(
    ("args", "exact"),
    [
        ([1, "x", None, [{"a": 1.5}]], True),
        ([(1, 2)], False),
        ([{1: "a"}], False),
        ([{1, 2}], False),
        ([float("nan")], True),
        ([datetime(2026, 1, 2), date(2026, 1, 2), time(3), Decimal("1.50"), b"\xff"], True),
        ([SimpleNamespace()], False),
    ],
)
def test_other_serializers(args, exact):
    with accepting("json", "pickle"):
        published = publish(args, {})[0]
        executed = store_success("w", args, {})

    for row in (published, executed):
        assert (row.arguments[0] == "exact") == exact
        assert exact or row.arguments == ("lossy", [], {})


class TestRedacted:
    """A repr that the publisher wrote itself is stored instead of the arguments."""

    def test_when_published(self):
        row, _made = publish(("4111 1111",), {"cvc": 123}, argsrepr="('****',)", kwargsrepr="{…}")

        assert (row.task_args, row.task_kwargs) == ("\"('****',)\"", '"{\\u2026}"')
        assert (row.arguments[0], row.inexact_reason) == ("lossy", "redacted")

    def test_when_the_worker_stores_the_outcome(self):
        _row, made = publish(("secret",), {}, argsrepr="(***)")

        row = store_success(made.headers["id"], ["secret"], {}, argsrepr="(***)", kwargsrepr="{}")

        assert row.status == "SUCCESS"
        assert "secret" not in str(vars(row))

    @pytest.mark.parametrize("sent_repr", ["(***)", "...", "('sec...", "x" * 1100 + "..."])
    def test_when_the_worker_inserts_the_row(self, sent_repr):
        row = store_success("w", ["secret" * 400], {}, argsrepr=sent_repr, kwargsrepr="{}")

        assert "secret" not in str(vars(row))
        assert (row.arguments[0], row.inexact_reason) == ("lossy", "redacted")

    def test_when_celery_retries_it_with_an_automatic_repr(self):
        row, made = publish(("secret",), {}, argsrepr="(***)")

        headers = made.headers | {"argsrepr": saferepr(("secret",))}
        store_published(sender="tests.add", headers=headers, body=made.body, routing_key="celery")

        row.refresh_from_db()
        assert "secret" not in str(vars(row))

    @pytest.mark.parametrize(
        ("args", "sent_repr"),
        [
            ([[1, 2]], "((1, 2),)"),
            ([{"1": "a"}], "({1: 'a'},)"),
            (["x" * 5000], saferepr(("x" * 5000,), 1024)),
            ([{"a": {"b": {"c": {"d": 1}}}}], saferepr(({"a": {"b": {"c": {"d": 1}}}},), 1024)),
            ([True, None], "[true,null]"),
            ([1], ""),
            ([1], None),
        ],
    )
    def test_automatic_repr_is_not_a_redaction(self, args, sent_repr):
        assert store_success("w", args, {}, argsrepr=sent_repr, kwargsrepr="{}").arguments == (
            "exact", args, {},
        )  # fmt: skip


class TestLarge:
    """Arguments above a size are not stored."""

    def test_five_megabytes(self):
        row, _made = publish(("x" * 5_000_000,), {})

        assert (row.arguments[0], row.inexact_reason) == ("lossy", "too_large")
        assert len(row.task_args) < 2000

    def test_limit_is_a_setting(self, settings):
        settings.TASKS_ADMIN_ARGUMENTS_MAX_BYTES = 6_000_000

        row, made = publish(("x" * 5_000_000,), {})

        assert row.arguments[0] == "exact"
        assert len(row.arguments[1][0]) == 5_000_000
        assert store_success(made.headers["id"], ["y"], {}).arguments == row.arguments


def test_message_contains_the_stored_bytes(broker, db):
    result = app.send_task("tests.add", [[float("nan")], "é\x00", uuid.UUID(int=5)], {"k": b"\xff"})

    row = Result.objects.get(task_id=result.id)
    message = queued_messages(broker, "celery")[0]
    assert row.task_args == json.dumps(message.args)
    assert row.task_kwargs == json.dumps(message.kwargs)


def test_row_of_the_stock_backend():
    row = Result(task_args='"(1, {...})"', task_kwargs='"{}"', meta='{"children": []}')

    assert (row.arguments, row.inexact_reason) == (("lossy", [], {}), "")
