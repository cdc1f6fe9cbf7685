"""Signatures of tasks: checking arguments, and converting values to text and back."""

import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import Annotated, Any, Literal, TypedDict

import pytest
from celery import shared_task

from tasks_admin.lib.errors import WrongArguments
from tasks_admin.results import signatures
from tasks_admin.results.signatures import InputKind


class Color(enum.Enum):
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
    """Has a `self`, which callers do not pass, and a wrapper."""


@shared_task(name="tests.unresolved")
def unresolved(one: "no.such.Thing", other: "list[int]" = ()):  # noqa: F821
    """One of its hints cannot be resolved."""


def problems(task, args, kwargs, **more):
    try:
        signatures.check(signatures.signature_of(task), args, kwargs, **more)
    except WrongArguments as error:
        return set(error.problems)
    return set()


def test_self_is_not_a_parameter():
    assert [one.title for one in signatures.signature_of("tests.bound").parameters] == [
        "number",
        "note",
    ]


def test_kinds_and_defaults():
    required = {
        one.title: one.required for one in signatures.signature_of("tests.order").parameters
    }

    assert required == {
        "number": True, "customer": True, "*items": False, "express": False, "**more": False,
    }  # fmt: skip


def test_an_unresolvable_hint_accepts_any_value():
    one, other = signatures.signature_of("tests.unresolved").parameters

    assert (one.hint.input, other.hint.input) == (InputKind.JSON, InputKind.JSON)
    assert one.matches("x")
    assert not other.matches(["x"])


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
def test_values_are_checked_by_type(args, kwargs, wrong):
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
def test_unexpected_arguments(args, kwargs, wrong):
    assert problems("tests.bound", args, kwargs) == wrong


def test_unchanged_values_may_stay():
    old = signatures.bind(signatures.signature_of("tests.order"), ["7", "a"], {})

    assert problems("tests.order", ["7", "b"], {}, old=old) == set()
    assert problems("tests.order", ["8", "b"], {}, old=old) == {"number"}


MOMENT = dt.datetime(2026, 1, 31, 12, 0, 1, 5, tzinfo=dt.UTC)
VALUES = [
    (int, 0), (int, -(2**62)), (float, 1.5), (float, 1e300), (bool, False), (str, ""),
    (str, "two\nlines \"'<ü"), (Decimal, Decimal("1.10")), (uuid.UUID, uuid.UUID(int=7)),
    (dt.date, dt.date(2026, 1, 31)), (dt.datetime, MOMENT), (dt.time, dt.time(12, 0)),
    (list[int], [1, 2]), (dict[str, Any], {"a": {"b": [None, 1.0, 1]}}), (Color, "blue"),
    (Literal[1, "a"], "a"), (int | None, 4), (int | str, "1"), (Address, {"street": "x"}),
    (Annotated[int, "more"], 3), (Any, {"at": MOMENT}), (tuple[int, str], [1, "a"]),
]  # fmt: skip


@pytest.mark.parametrize(("annotation", "value"), VALUES, ids=str)
def test_a_value_survives_the_form(annotation, value):
    hint = signatures.hints.parse_hint(annotation)

    text = signatures.to_text(hint, value)

    assert text is not None
    back = signatures.parse(hint, text)
    assert (back, type(back)) == (value, type(value))
    assert signatures.is_same_json(back, value)
    assert hint.matches(value)


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "1.5"), (int, "one"), (int, "1e3"), (int, "9" * 19), (int, ""), (float, "nan"),
        (float, "1,5"), (bool, "yes"), (Decimal, "Infinity"), (uuid.UUID, "7"),
        (dt.date, "31.1.2026"), (dt.datetime, "yesterday"), (dict, "{'a': 1}"), (list, "[1"),
        (Any, "NaN"), (Any, '{"a": 1, "a": 2}'),
    ],
)  # fmt: skip
def test_invalid_text_is_refused_with_a_message(annotation, text):
    with pytest.raises(ValueError, match=r"is not valid JSON|contains NaN|expected "):
        signatures.parse(signatures.hints.parse_hint(annotation), text)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [(str, "a\x00b"), (str, "\ud800"), (str, "a\rb"), (int, "1"), (bool, 1), (float, "1")],
)
def test_a_value_that_a_form_would_change_has_no_text(annotation, value):
    assert signatures.to_text(signatures.hints.parse_hint(annotation), value) is None


def test_positional_arguments_stay_positional():
    signature = signatures.signature_of("tests.bound")

    assert signatures.call_arguments(signature, {"number": 1, "note": 2}, 1) == ([1], {"note": 2})
    assert signatures.call_arguments(signature, {"number": 1}) == ([], {"number": 1})
    assert signatures.call_arguments(
        signatures.signature_of("tests.order"),
        {"number": 1, "customer": "a", "items": ["b"], "more": {"x": 1}},
    ) == ([1, "a", "b"], {"x": 1})


def test_a_positional_argument_after_a_missing_one_is_refused():
    with pytest.raises(WrongArguments, match="number"):
        signatures.call_arguments(signatures.signature_of("tests.order"), {"customer": "a"})
