"""Type hints: which values an argument may have, how they are entered, and a description."""

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

#: Integers of 64 bits: many JSON parsers truncate longer ones.
MAX_INTEGER = 2**63 - 1
#: The maximum nesting of a value.
MAX_DEPTH = 100


class InputKind(enum.Enum):
    """How a value is entered in a form."""

    INTEGER = "integer"
    NUMBER = "number"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    STRING = "string"
    UUID = "uuid"
    DATE = "date"
    DATETIME = "datetime"
    TIME = "time"
    CHOICE = "choice"
    JSON = "json"


@dataclass(frozen=True, kw_only=True)
class Hint:
    """A type hint, as far as it can be checked; any other value is entered as JSON."""

    #: The hint itself.
    annotation: Any = Any
    input: InputKind = InputKind.JSON
    #: Whether None is valid.
    nullable: bool = False
    #: All valid values except None; empty unless they are a closed set.
    choices: tuple[Any, ...] = ()

    def matches(self, value: Any) -> bool:
        """Whether a value is of this type, as far as JSON preserves types."""
        return _matches(value, self.annotation)

    def describe(self) -> str:
        """The valid types or values, for people."""
        return _describe(self.annotation)


def parse_hint(annotation: Any) -> Hint:
    """Analyze a type hint."""
    members = _members(annotation)
    real = [member for member in members if member is not None]
    nullable = len(real) < len(members)
    choices = _choices(real)
    if choices:
        kind = InputKind.CHOICE
    elif len(real) == 1:
        kind = INPUTS.get(real[0], InputKind.JSON) if isinstance(real[0], type) else InputKind.JSON
    else:
        kind = InputKind.JSON
    return Hint(annotation=annotation, input=kind, nullable=nullable, choices=tuple(choices))


def is_json_safe(value: Any, depth: int = MAX_DEPTH) -> bool:
    """Whether any JSON parser reads the value exactly: no NaN, no integer above 64 bits."""
    if isinstance(value, bool) or value is None:
        return True
    if isinstance(value, int):
        return abs(value) <= MAX_INTEGER
    if isinstance(value, (float, Decimal)):
        return math.isfinite(value)
    if isinstance(value, dict):
        return depth > 0 and all(
            isinstance(key, str) and is_json_safe(item, depth - 1) for key, item in value.items()
        )
    if isinstance(value, (list, tuple)):
        return depth > 0 and all(is_json_safe(item, depth - 1) for item in value)
    return isinstance(value, (str, bytes, dt.date, dt.time, uuid.UUID))


def _plain(annotation: Any) -> Any:
    """A hint without its wrappers: aliases, `Annotated`, `NewType`, the bounds of variables."""
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
    """The members of a union, flattened; anything else is its only member."""
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
    """The values of closed sets: an enumeration is sent as its values."""
    found: list[Any] = []
    for member in members:
        if typing.get_origin(member) is typing.Literal:
            found += [getattr(item, "value", item) for item in typing.get_args(member)]
        elif isinstance(member, type) and issubclass(member, enum.Enum):
            found += [item.value for item in member]
        else:
            return []
    return found if all(isinstance(item, (str, int, float)) for item in found) else []


def _matches(value: Any, annotation: Any) -> bool:
    members = _members(annotation)
    if None in members and value is None:
        return True
    real = [member for member in members if member is not None]
    if choices := _choices(real):
        return any(type(value) is type(item) and value == item for item in choices)
    return any(_is(value, member) for member in real)


def _is(value: Any, member: Any) -> bool:
    """Whether a value is of one type that is not a union. Unknown types match every value."""
    if _choices([member]):
        return _matches(value, member)
    origin = typing.get_origin(member) or member
    if not isinstance(origin, type) or origin is object:
        return True
    if origin in CHECKS:
        return CHECKS[origin](value)
    if typing.is_typeddict(origin) or issubclass(origin, collections.abc.Mapping):
        values = typing.get_args(member)[1:] or (Any,)
        return isinstance(value, dict) and all(_matches(item, values[0]) for item in value.values())
    if issubclass(origin, tuple) and typing.get_args(member):
        return isinstance(value, (list, tuple)) and _matches_tuple(value, typing.get_args(member))
    if issubclass(origin, collections.abc.Collection) or origin in LISTS:
        items = typing.get_args(member)[:1] or (Any,)
        return isinstance(value, (list, tuple)) and all(_matches(item, items[0]) for item in value)
    return True


def _matches_tuple(values: "list[Any] | tuple[Any, ...]", items: tuple[Any, ...]) -> bool:
    if items[-1] is Ellipsis:
        items = items[:1] * len(values)
    pairs = zip(values, items, strict=False)
    return len(values) == len(items) and all(_matches(value, item) for value, item in pairs)


def _describe(annotation: Any) -> str:
    members = _members(annotation)
    choices = _choices([member for member in members if member is not None])
    if choices:
        listed = pgettext("between choices", ", ").join(str(item) for item in choices[:20])
        names = [_("one of: %(choices)s") % {"choices": listed}]
    else:
        names = list(dict.fromkeys(_type_name(member) for member in members if member is not None))
    return _(" or ").join(names + ([_("null")] if None in members else []))


def _type_name(member: Any) -> str:
    origin = typing.get_origin(member) or member
    if isinstance(origin, type):
        for known, name in _type_names():
            if issubclass(origin, known):
                return name
        if typing.is_typeddict(origin):
            return _("object")
    return _("JSON value")


def _type_names() -> Iterable[tuple[type | tuple[type, ...], str]]:
    """The names of types; the first match counts."""
    return (
        (bool, _("boolean")),
        (int, _("integer")),
        (float, _("number")),
        (Decimal, _("decimal number")),
        (str, _("string")),
        (bytes, _("bytes")),
        (uuid.UUID, _("UUID")),
        (dt.datetime, _("date and time")),
        (dt.date, _("date")),
        (dt.time, _("time of day")),
        (collections.abc.Mapping, _("object")),
        (collections.abc.Collection, _("list")),
        (tuple(LISTS), _("list")),
    )


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


#: Iterable types that are not collections.
LISTS = {collections.abc.Iterable, collections.abc.Iterator, collections.abc.Generator}
INPUTS: dict[type, InputKind] = {
    int: InputKind.INTEGER,
    float: InputKind.NUMBER,
    Decimal: InputKind.DECIMAL,
    bool: InputKind.BOOLEAN,
    str: InputKind.STRING,
    uuid.UUID: InputKind.UUID,
    dt.date: InputKind.DATE,
    dt.datetime: InputKind.DATETIME,
    dt.time: InputKind.TIME,
}
#: Python's `datetime` is a `date` and its `bool` an `int`; in a signature they are not.
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
