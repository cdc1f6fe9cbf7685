"""Signatures: the parameters of a task, and whether given arguments match them."""

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
from tasks_admin.results.signatures.hints import Hint, InputKind, is_json_safe, parse_hint
from tasks_admin.results.signatures.texts import normalize_newlines, parse, to_text

__all__ = [
    "BoundArguments",
    "Hint",
    "InputKind",
    "Parameter",
    "Signature",
    "bind",
    "call_arguments",
    "check",
    "is_same_json",
    "normalize_newlines",
    "parse",
    "signature_of",
    "to_text",
]

Kind = inspect._ParameterKind
POSITIONAL = (Kind.POSITIONAL_ONLY, Kind.POSITIONAL_OR_KEYWORD)
VARIADIC = (Kind.VAR_POSITIONAL, Kind.VAR_KEYWORD)


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A parameter of a task. The value of `*args` is a list, that of `**kwargs` an object."""

    name: str
    kind: Any
    hint: Hint
    required: bool
    default: Any = None

    @property
    def title(self) -> str:
        """The name, with asterisks."""
        return {Kind.VAR_POSITIONAL: "*", Kind.VAR_KEYWORD: "**"}.get(self.kind, "") + self.name

    @property
    def nullable(self) -> bool:
        """Whether None is valid; `number: int = None` implies it, too."""
        implied = not (self.required or self.variadic or self.default is not None)
        return self.hint.nullable or implied

    def matches(self, value: Any) -> bool:
        """Whether the parameter accepts a value."""
        return (value is None and self.nullable) or self.hint.matches(value)

    @property
    def variadic(self) -> bool:
        """Whether it accepts any number of arguments."""
        return self.kind in VARIADIC


@dataclass(frozen=True, kw_only=True)
class Signature:
    """The parameters of a task."""

    task: str
    parameters: tuple[Parameter, ...]

    def variadic(self, kind: Any) -> Parameter | None:
        """The parameter `*args` or `**kwargs`, if the task has one."""
        return next((one for one in self.parameters if one.kind == kind), None)


@dataclass(frozen=True, kw_only=True)
class BoundArguments:
    """Arguments by the name of the parameter that accepts them."""

    values: dict[str, Any] = field(default_factory=dict)
    #: How many of them were positional.
    positional_count: int = 0
    #: Arguments that no parameter accepts, by name or position.
    unexpected: dict[str, Any] = field(default_factory=dict)


def signature_of(task: str) -> Signature:
    """The signature of a registered task, without the `self` of a bound task."""
    body: Any = broker.task_function(task)
    try:
        found = inspect.signature(body)
    except (TypeError, ValueError):  # not introspectable: it may accept any arguments
        found = inspect.signature(lambda *args, **kwargs: None)
    parameters = (_parameter(body, one) for one in found.parameters.values())
    return Signature(task=task, parameters=tuple(parameters))


def _parameter(body: Any, parameter: inspect.Parameter) -> Parameter:
    has_default = parameter.default is not inspect._empty
    return Parameter(
        name=parameter.name,
        kind=parameter.kind,
        hint=parse_hint(_annotation(body, parameter)),
        required=not has_default and parameter.kind not in VARIADIC,
        default=parameter.default if has_default else None,
    )


def _annotation(body: Any, parameter: inspect.Parameter) -> Any:
    """The type of a parameter; Any if it names something that does not exist at run time."""
    namespace = types.SimpleNamespace(__annotations__={"it": parameter.annotation})
    names = getattr(inspect.unwrap(body), "__globals__", {})
    try:
        found = typing.get_type_hints(namespace, names, include_extras=True)["it"]
    except Exception:  # the evaluation runs the project's code, which may raise anything
        return Any
    if parameter.kind == Kind.VAR_POSITIONAL:
        return types.GenericAlias(list, (found,))
    is_mapping = parameter.kind == Kind.VAR_KEYWORD
    return types.GenericAlias(dict, (str, found)) if is_mapping else found


def bind(signature: Signature, args: Sequence[Any], kwargs: Mapping[str, Any]) -> BoundArguments:
    """Assign each argument to a parameter, as Python does; nothing is refused."""
    positional = [one.name for one in signature.parameters if one.kind in POSITIONAL]
    values: dict[str, Any] = dict(zip(positional, args, strict=False))
    count, unexpected = len(values), {}
    var_args = signature.variadic(Kind.VAR_POSITIONAL)
    var_kwargs = signature.variadic(Kind.VAR_KEYWORD)
    for number, value in enumerate(args[count:], count + 1):
        if var_args is None:
            unexpected[str(number)] = value
    by_keyword = {one.name for one in signature.parameters if one.kind in POSITIONAL[1:]}
    by_keyword |= {one.name for one in signature.parameters if one.kind == Kind.KEYWORD_ONLY}
    further: dict[str, Any] = {}
    for name, value in kwargs.items():
        if name not in by_keyword:
            into = further if var_kwargs else unexpected
        else:
            into = unexpected if name in values else values
        into[name] = value
    values |= {var_args.name: list(args[count:])} if var_args else {}
    values |= {var_kwargs.name: further} if var_kwargs else {}
    return BoundArguments(values=values, positional_count=count, unexpected=unexpected)


def call_arguments(
    signature: Signature, values: Mapping[str, Any], positional_count: int = 0
) -> tuple[list[Any], dict[str, Any]]:
    """The `args` and `kwargs` of a call: as many positional ones as before, the others by name.

    Raises `WrongArguments` if a positional argument would follow one without a value.
    """
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    var_args = signature.variadic(Kind.VAR_POSITIONAL)
    var_kwargs = signature.variadic(Kind.VAR_KEYWORD)
    further = values.get(var_args.name) if var_args else None
    missing = ""
    for number, one in enumerate(signature.parameters):
        if one.kind in VARIADIC:
            continue
        only_positional = one.kind == Kind.POSITIONAL_ONLY
        if one.name not in values:
            missing = missing or one.name
        elif one.kind == Kind.KEYWORD_ONLY:
            kwargs[one.name] = values[one.name]
        elif not missing and (number < positional_count or further or only_positional):
            args.append(values[one.name])
        elif only_positional:
            raise WrongArguments({one.name: _requires(missing)})
        else:
            kwargs[one.name] = values[one.name]
    if var_args and further:
        if len(args) < sum(one.kind in POSITIONAL for one in signature.parameters):
            raise WrongArguments({var_args.name: _requires(missing)})
        args += further
    if var_kwargs:
        kwargs = {**values.get(var_kwargs.name, {}), **kwargs}
    return args, kwargs


def _requires(missing: str) -> str:
    return _("requires a value for %(name)s, which precedes it.") % {"name": missing}


def check(
    signature: Signature,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    old: BoundArguments | None = None,
) -> None:
    """Raise `WrongArguments`, by name, unless the task accepts these; unchanged values may stay."""
    new, old = bind(signature, args, kwargs), old or BoundArguments()
    problems = {name: _("is not an argument of this task.") for name in new.unexpected}
    for one in signature.parameters:
        if one.name not in new.values:
            if one.required:
                problems[one.name] = _("is required.")
            continue
        value = new.values[one.name]
        if one.name in old.values and is_same_json(value, old.values[one.name]):
            continue
        if not is_json_safe(value):
            problems[one.name] = _("contains a value that JSON cannot represent exactly.")
        elif not one.matches(value):
            problems[one.name] = _("expected %(type)s.") % {"type": one.hint.describe()}
    if problems:
        raise WrongArguments(problems)


def is_same_json(one: Any, other: Any) -> bool:
    """Whether two values are sent as the same JSON: 1, 1.0, True and "1" are four."""
    try:
        return celery_json.encode(one) == celery_json.encode(other)
    except celery_json.ENCODING_ERRORS:
        return False
