"""Type hints: what may be given for an argument, how it is asked for, and how that is said."""

import collections.abc
import datetime as dt
import enum
import inspect
import math
import types
import typing
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

#: Whole numbers of 64 bits: what is longer is cut by many who read JSON.
LARGEST = 2**63 - 1
#: How deep a value may be nested.
DEEPEST = 100


class Entry(enum.Enum):
    """How a value is typed in."""

    WHOLE = "whole"
    NUMBER = "number"
    DECIMAL = "decimal"
    TRUTH = "truth"
    TEXT = "text"
    UUID = "uuid"
    DATE = "date"
    MOMENT = "moment"
    TIME = "time"
    CHOICE = "choice"
    JSON = "json"


@dataclass(frozen=True, kw_only=True)
class Hint:
    """What a type hint says. What it does not say, or what we can't check, is JSON."""

    #: The hint itself, without what is of no use here.
    annotation: Any = Any
    entry: Entry = Entry.JSON
    #: Whether it may be None.
    nullable: bool = False
    #: All that it may be, None left out; empty when that is not a closed set.
    choices: tuple[Any, ...] = ()

    def fits(self, value: Any) -> bool:
        """Whether a value is of this type, as far as that can be told after JSON."""
        return _fits(value, self.annotation)

    def words(self) -> str:
        """What it must be, for people."""
        return _words(self.annotation)


def hint(annotation: Any) -> Hint:
    """Read a type hint."""
    members = _members(annotation)
    real = [member for member in members if member is not None]
    nullable = len(real) < len(members)
    choices = _choices(real)
    if choices:
        entry = Entry.CHOICE
    elif len(real) == 1:
        entry = ENTRIES.get(real[0], Entry.JSON) if isinstance(real[0], type) else Entry.JSON
    else:
        entry = Entry.JSON
    return Hint(annotation=annotation, entry=entry, nullable=nullable, choices=tuple(choices))


def carried(value: Any, depth: int = DEEPEST) -> bool:
    """Whether JSON carries a value to whoever reads it: no NaN, nothing longer than 64 bits."""
    if isinstance(value, bool) or value is None:
        return True
    if isinstance(value, int):
        return abs(value) <= LARGEST
    if isinstance(value, (float, Decimal)):
        return math.isfinite(value)
    if isinstance(value, dict):
        return depth > 0 and all(
            isinstance(key, str) and carried(item, depth - 1) for key, item in value.items()
        )
    if isinstance(value, (list, tuple)):
        return depth > 0 and all(carried(item, depth - 1) for item in value)
    return isinstance(value, (str, bytes, dt.date, dt.time, uuid.UUID))


def _plain(annotation: Any) -> Any:
    """A hint without its wrappings: aliases, `Annotated`, `NewType`, the bounds of variables."""
    while True:
        if typing.get_origin(annotation) in {typing.Annotated, typing.Required, typing.Final}:
            annotation = typing.get_args(annotation)[0]
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        elif isinstance(annotation, (typing.TypeVar, str)) or annotation is inspect._empty:
            return Any
        else:
            return None if annotation is type(None) else annotation


def _members(annotation: Any) -> list[Any]:
    """The members of a union, flat; of anything else itself."""
    annotation = _plain(annotation)
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        return [one for part in typing.get_args(annotation) for one in _members(part)]
    if typing.get_origin(annotation) is typing.Literal:
        literals = typing.get_args(annotation)
        rest = tuple(item for item in literals if item is not None)
        whole = [typing.Literal[rest]] if rest else []
        return whole + ([None] if len(rest) < len(literals) else [])
    return [annotation]


def _choices(members: list[Any]) -> list[Any]:
    """What JSON brings of closed sets: an enumeration travels as its values."""
    found: list[Any] = []
    for member in members:
        if typing.get_origin(member) is typing.Literal:
            found += [getattr(item, "value", item) for item in typing.get_args(member)]
        elif isinstance(member, type) and issubclass(member, enum.Enum):
            found += [item.value for item in member]
        else:
            return []
    return found if all(isinstance(item, (str, int, float)) for item in found) else []


def _fits(value: Any, annotation: Any) -> bool:
    members = _members(annotation)
    if None in members and value is None:
        return True
    real = [member for member in members if member is not None]
    if choices := _choices(real):
        return any(type(value) is type(item) and value == item for item in choices)
    return any(_is(value, member) for member in real)


def _is(value: Any, member: Any) -> bool:
    """Whether a value is of one type that is no union. Of a type that we don't know, all are."""
    if _choices([member]):
        return _fits(value, member)
    origin = typing.get_origin(member) or member
    if not isinstance(origin, type) or origin is object:
        return True
    if origin in CHECKS:
        return CHECKS[origin](value)
    if typing.is_typeddict(origin) or issubclass(origin, collections.abc.Mapping):
        values = typing.get_args(member)[1:] or (Any,)
        return isinstance(value, dict) and all(_fits(item, values[0]) for item in value.values())
    if issubclass(origin, tuple) and typing.get_args(member):
        return isinstance(value, (list, tuple)) and _in_order(value, typing.get_args(member))
    if issubclass(origin, collections.abc.Collection) or origin in LISTS:
        items = typing.get_args(member)[:1] or (Any,)
        return isinstance(value, (list, tuple)) and all(_fits(item, items[0]) for item in value)
    return True


def _in_order(values: "list[Any] | tuple[Any, ...]", items: tuple[Any, ...]) -> bool:
    if items[-1] is Ellipsis:
        items = items[:1] * len(values)
    pairs = zip(values, items, strict=False)
    return len(values) == len(items) and all(_fits(value, item) for value, item in pairs)


def _words(annotation: Any) -> str:
    members = _members(annotation)
    choices = _choices([member for member in members if member is not None])
    if choices:
        listed = pgettext("between choices", ", ").join(str(item) for item in choices[:20])
        said = [_("one of: %(choices)s") % {"choices": listed}]
    else:
        said = list(dict.fromkeys(_word(member) for member in members if member is not None))
    return _(" or ").join(said + ([_("null")] if None in members else []))


def _word(member: Any) -> str:
    origin = typing.get_origin(member) or member
    if isinstance(origin, type):
        for known, word in _names():
            if issubclass(origin, known):
                return word
        if typing.is_typeddict(origin):
            return _("an object")
    return _("a value in JSON")


def _names() -> Iterable[tuple[type | tuple[type, ...], str]]:
    """What types are called; the first that fits counts."""
    return (
        (bool, _("yes or no")),
        (int, _("a whole number")),
        (float, _("a number")),
        (Decimal, _("a decimal number")),
        (str, _("a text")),
        (bytes, _("bytes")),
        (uuid.UUID, _("a UUID")),
        (dt.datetime, _("a date and time")),
        (dt.date, _("a date")),
        (dt.time, _("a time of day")),
        (collections.abc.Mapping, _("an object")),
        (collections.abc.Collection, _("a list")),
        (tuple(LISTS), _("a list")),
    )


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


#: Types that iterate and are no collections.
LISTS = {collections.abc.Iterable, collections.abc.Iterator, collections.abc.Generator}
ENTRIES: dict[type, Entry] = {
    int: Entry.WHOLE,
    float: Entry.NUMBER,
    Decimal: Entry.DECIMAL,
    bool: Entry.TRUTH,
    str: Entry.TEXT,
    uuid.UUID: Entry.UUID,
    dt.date: Entry.DATE,
    dt.datetime: Entry.MOMENT,
    dt.time: Entry.TIME,
}
#: A date is no moment, and True is no number.
CHECKS: dict[Any, Callable[[Any], bool]] = {
    int: lambda value: isinstance(value, int) and not isinstance(value, bool),
    float: _number,
    Decimal: lambda value: isinstance(value, Decimal),
    bool: lambda value: isinstance(value, bool),
    str: lambda value: isinstance(value, str),
    bytes: lambda value: isinstance(value, bytes),
    uuid.UUID: lambda value: isinstance(value, uuid.UUID),
    dt.date: lambda value: isinstance(value, dt.date) and not isinstance(value, dt.datetime),
    dt.datetime: lambda value: isinstance(value, dt.datetime),
    dt.time: lambda value: isinstance(value, dt.time),
}
