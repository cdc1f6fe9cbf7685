"""Signatures: what a task takes, and whether some arguments are that."""

import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from tasks_admin.integrations import broker
from tasks_admin.lib import celery_json
from tasks_admin.lib.errors import WrongArguments
from tasks_admin.results.signatures.hints import Entry, Hint, carried, hint
from tasks_admin.results.signatures.texts import folded, read, written

__all__ = [
    "Entry",
    "Hint",
    "Parameter",
    "Placed",
    "Signature",
    "arranged",
    "check",
    "folded",
    "of",
    "placed",
    "read",
    "same",
    "written",
]

Kind = inspect._ParameterKind
BY_PLACE = (Kind.POSITIONAL_ONLY, Kind.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One argument that a task takes; `*args` is a list and `**kwargs` an object."""

    name: str
    kind: Any
    hint: Hint
    required: bool
    default: Any = None

    @property
    def title(self) -> str:
        """Its name, with its asterisks."""
        return {Kind.VAR_POSITIONAL: "*", Kind.VAR_KEYWORD: "**"}.get(self.kind, "") + self.name

    @property
    def nullable(self) -> bool:
        """Whether it may be None; `number: int = None` means that too."""
        return self.hint.nullable or not (self.required or self.many or self.default is not None)

    def fits(self, value: Any) -> bool:
        """Whether it takes this value."""
        return (value is None and self.nullable) or self.hint.fits(value)

    @property
    def many(self) -> bool:
        """Whether it takes any number of arguments."""
        return self.kind in (Kind.VAR_POSITIONAL, Kind.VAR_KEYWORD)


@dataclass(frozen=True, kw_only=True)
class Signature:
    """What a task takes."""

    task: str
    parameters: tuple[Parameter, ...]

    def rest(self, kind: Any) -> Parameter | None:
        """The parameter that takes what is left: `*args` or `**kwargs`."""
        return next((one for one in self.parameters if one.kind == kind), None)


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Arguments by the name of the parameter that takes them."""

    values: dict[str, Any] = field(default_factory=dict)
    #: How many were given by their place.
    by_place: int = 0
    #: What no parameter takes, by its name or place.
    spare: dict[str, Any] = field(default_factory=dict)


def of(task: str) -> Signature:
    """What a registered task takes; a bound task's `self` is not among that."""
    body: Any = broker.body(task)
    try:
        found = inspect.signature(body)
    except (TypeError, ValueError):  # nothing is known of it
        found = inspect.signature(lambda *args, **kwargs: None)
    return Signature(
        task=task,
        parameters=tuple(
            Parameter(
                name=one.name,
                kind=one.kind,
                hint=hint(_annotation(body, one)),
                required=one.default is inspect._empty
                and one.kind not in (Kind.VAR_POSITIONAL, Kind.VAR_KEYWORD),
                default=None if one.default is inspect._empty else one.default,
            )
            for one in found.parameters.values()
        ),
    )


def _annotation(body: Any, parameter: inspect.Parameter) -> Any:
    """A parameter's type; Any when it names something that is not there when the program runs."""
    stands_for = types.SimpleNamespace(__annotations__={"it": parameter.annotation})
    names = getattr(inspect.unwrap(body), "__globals__", {})
    try:
        found = typing.get_type_hints(stands_for, names, include_extras=True)["it"]
    except Exception:  # whatever the project's code raises when it is evaluated
        return Any
    if parameter.kind == Kind.VAR_POSITIONAL:
        return types.GenericAlias(list, (found,))
    more = parameter.kind == Kind.VAR_KEYWORD
    return types.GenericAlias(dict, (str, found)) if more else found


def placed(signature: Signature, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Placed:
    """Find the parameter of each argument, as Python does."""
    by_place = [one.name for one in signature.parameters if one.kind in BY_PLACE]
    values: dict[str, Any] = dict(zip(by_place, args, strict=False))
    count, spare = len(values), {}
    rest, others = signature.rest(Kind.VAR_POSITIONAL), signature.rest(Kind.VAR_KEYWORD)
    for number, value in enumerate(args[count:], count + 1):
        if rest is None:
            spare[str(number)] = value
    by_name = {one.name for one in signature.parameters if one.kind in BY_PLACE[1:]}
    by_name |= {one.name for one in signature.parameters if one.kind == Kind.KEYWORD_ONLY}
    more: dict[str, Any] = {}
    for name, value in kwargs.items():
        taken = name in by_name
        into = more if others and not taken else spare if not taken or name in values else values
        into[name] = value
    values |= {rest.name: list(args[count:])} if rest else {}
    values |= {others.name: more} if others else {}
    return Placed(values=values, by_place=count, spare=spare)


def arranged(
    signature: Signature, values: Mapping[str, Any], by_place: int = 0
) -> tuple[list[Any], dict[str, Any]]:
    """Arguments for a call: what was given by its place stays so, everything new has a name.

    Raises `WrongArguments` for what can only be given after something that is left out.
    """
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    rest, others = signature.rest(Kind.VAR_POSITIONAL), signature.rest(Kind.VAR_KEYWORD)
    more = values.get(rest.name) if rest else None
    missing = ""
    for number, one in enumerate(signature.parameters):
        if one.kind not in BY_PLACE and one.kind != Kind.KEYWORD_ONLY:
            continue
        if one.name not in values:
            missing = missing or one.name
        elif one.kind == Kind.KEYWORD_ONLY:
            kwargs[one.name] = values[one.name]
        elif not missing and (number < by_place or more or one.kind == Kind.POSITIONAL_ONLY):
            args.append(values[one.name])
        elif one.kind == Kind.POSITIONAL_ONLY:
            raise WrongArguments({one.name: _after(missing)})
        else:
            kwargs[one.name] = values[one.name]
    if rest and more:
        places = sum(one.kind in BY_PLACE for one in signature.parameters)
        if len(args) < places:
            raise WrongArguments({rest.name: _after(missing)})
        args += more
    if others:
        kwargs = {**values.get(others.name, {}), **kwargs}
    return args, kwargs


def _after(missing: str) -> str:
    words = _("can't be given while %(name)s, which stands before it, is left out.")
    return words % {"name": missing}


def check(
    signature: Signature,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    before: Placed | None = None,
) -> None:
    """Raise `WrongArguments`, by name, unless a task takes these; what was so before may stay."""
    now, before = placed(signature, args, kwargs), before or Placed()
    wrong = {name: _("is no argument of this task.") for name in now.spare}
    for one in signature.parameters:
        if one.name not in now.values:
            if one.required:
                wrong[one.name] = _("is missing: the task needs it.")
            continue
        value = now.values[one.name]
        if one.name in before.values and same(value, before.values[one.name]):
            continue
        if not carried(value):
            wrong[one.name] = _("holds something that can't be sent exactly as JSON.")
        elif not one.fits(value):
            wrong[one.name] = _("must be %(words)s.") % {"words": one.hint.words()}
    if wrong:
        raise WrongArguments(wrong)


def same(one: Any, other: Any) -> bool:
    """Whether two values are sent as the same JSON: 1, 1.0, True and "1" are four."""
    try:
        return celery_json.encode(one) == celery_json.encode(other)
    except celery_json.ENCODING_ERRORS:
        return False
