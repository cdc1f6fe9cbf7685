"""What a task takes: read off its signature, checked value by value, typed in and back."""

import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import Annotated, Any, Literal, TypedDict

import pytest
from celery import shared_task

from tasks_admin.lib.errors import WrongArguments
from tasks_admin.results import signatures
from tasks_admin.results.signatures import Entry


class Colour(enum.Enum):
    """A closed set."""

    RED = "red"
    BLUE = "blue"


class Address(TypedDict):
    """An object."""

    street: str


@shared_task(name="tests.order")
def order(number: int, customer: str, /, *items: str, express: bool = False, **more: int):
    """All kinds of arguments."""


@shared_task(name="tests.bound", bind=True, autoretry_for=(OSError,))
def bound(self, number: int, note=None):
    """Has a `self` that nobody gives, and a wrapping."""


@shared_task(name="tests.riddle")
def riddle(one: "no.such.Thing", other: "list[int]" = ()):  # noqa: F821
    """Its hints can't all be read."""


def problems(task, args, kwargs, **more):
    try:
        signatures.check(signatures.of(task), args, kwargs, **more)
    except WrongArguments as error:
        return set(error.problems)
    return set()


def test_self_is_no_argument():
    assert [one.title for one in signatures.of("tests.bound").parameters] == ["number", "note"]


def test_kinds_and_defaults():
    told = {one.title: one.required for one in signatures.of("tests.order").parameters}

    assert told == {
        "number": True, "customer": True, "*items": False, "express": False, "**more": False,
    }  # fmt: skip


def test_a_hint_that_cannot_be_read_is_anything():
    one, other = signatures.of("tests.riddle").parameters

    assert (one.hint.entry, other.hint.entry) == (Entry.JSON, Entry.JSON)
    assert one.fits("x")
    assert not other.fits(["x"])


@pytest.mark.parametrize(
    ("args", "kwargs", "wrong"),
    [
        ([1, "a"], {}, set()),
        ([1, "a", "b", "c"], {"express": True, "size": 3}, set()),
        ([1], {}, {"customer"}),
        ([], {}, {"number", "customer"}),
        (["1", "a"], {}, {"number"}),
        ([True, "a"], {}, {"number"}),
        ([1.0, "a"], {}, {"number"}),
        ([1, "a", 2], {}, {"items"}),
        ([1, "a"], {"express": "yes"}, {"express"}),
        ([1, "a"], {"size": "3"}, {"more"}),
        ([1, "a"], {"number": 2}, set()),
        ([1, float("nan")], {}, {"customer"}),
        ([2**63, "a"], {}, {"number"}),
    ],
)
def test_what_a_task_takes(args, kwargs, wrong):
    assert problems("tests.order", args, kwargs) == wrong


@pytest.mark.parametrize(
    ("args", "kwargs", "wrong"),
    [
        ([1, 2, 3], {}, {"3"}),
        ([1], {"nosuch": 1}, {"nosuch"}),
        ([1], {"number": 1}, {"number"}),
        ([1, {"a": [None, "b"]}], {}, set()),
        ([1, float("inf")], {}, {"note"}),
        ([1, {1: 2}], {}, {"note"}),
    ],
)
def test_what_is_too_much(args, kwargs, wrong):
    assert problems("tests.bound", args, kwargs) == wrong


def test_what_was_so_before_may_stay():
    before = signatures.placed(signatures.of("tests.order"), ["7", "a"], {})

    assert problems("tests.order", ["7", "b"], {}, before=before) == set()
    assert problems("tests.order", ["8", "b"], {}, before=before) == {"number"}


MOMENT = dt.datetime(2026, 1, 31, 12, 0, 1, 5, tzinfo=dt.UTC)
VALUES = [
    (int, 0), (int, -(2**62)), (float, 1.5), (float, 1e300), (bool, False), (str, ""),
    (str, "two\nlines \"'<ü"), (Decimal, Decimal("1.10")), (uuid.UUID, uuid.UUID(int=7)),
    (dt.date, dt.date(2026, 1, 31)), (dt.datetime, MOMENT), (dt.time, dt.time(12, 0)),
    (list[int], [1, 2]), (dict[str, Any], {"a": {"b": [None, 1.0, 1]}}), (Colour, "blue"),
    (Literal[1, "a"], "a"), (int | None, 4), (int | str, "1"), (Address, {"street": "x"}),
    (Annotated[int, "more"], 3), (Any, {"at": MOMENT}), (tuple[int, str], [1, "a"]),
]  # fmt: skip


@pytest.mark.parametrize(("annotation", "value"), VALUES, ids=str)
def test_what_is_typed_in_is_what_was_written(annotation, value):
    hint = signatures.hints.hint(annotation)

    text = signatures.written(hint, value)

    assert text is not None
    back = signatures.read(hint, text)
    assert (back, type(back)) == (value, type(value))
    assert signatures.same(back, value)
    assert hint.fits(value)


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "1.5"), (int, "one"), (int, "1e3"), (int, "9" * 19), (int, ""), (float, "nan"),
        (float, "1,5"), (bool, "yes"), (Decimal, "Infinity"), (uuid.UUID, "7"),
        (dt.date, "31.1.2026"), (dt.datetime, "yesterday"), (dict, "{'a': 1}"), (list, "[1"),
        (Any, "NaN"), (Any, '{"a": 1, "a": 2}'),
    ],
)  # fmt: skip
def test_nonsense_is_refused_in_words(annotation, text):
    with pytest.raises(ValueError, match=r"is no JSON|must be"):
        signatures.read(signatures.hints.hint(annotation), text)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [(str, "a\x00b"), (str, "\ud800"), (str, "a\rb"), (int, "1"), (bool, 1), (float, "1")],
)
def test_what_a_field_would_change_is_not_put_into_one(annotation, value):
    assert signatures.written(signatures.hints.hint(annotation), value) is None


def test_the_call_is_arranged_as_it_was():
    signature = signatures.of("tests.bound")

    assert signatures.arranged(signature, {"number": 1, "note": 2}, 1) == ([1], {"note": 2})
    assert signatures.arranged(signature, {"number": 1}) == ([], {"number": 1})
    assert signatures.arranged(
        signatures.of("tests.order"),
        {"number": 1, "customer": "a", "items": ["b"], "more": {"x": 1}},
    ) == ([1, "a", "b"], {"x": 1})


def test_what_stands_after_a_gap_is_refused():
    with pytest.raises(WrongArguments, match="number"):
        signatures.arranged(signatures.of("tests.order"), {"customer": "a"})
