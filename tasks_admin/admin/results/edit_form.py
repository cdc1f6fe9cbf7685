"""The form of a task's arguments: built from its signature, filled with the stored arguments.

Each argument has a field for its value. If there is a choice, it also has a field for the source of
the value: the entered one, the stored one, null, an empty string, or the default.
"""

from dataclasses import dataclass
from typing import Any

from django import forms
from django.forms import BoundField
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from tasks_admin.lib import celery_json, masks
from tasks_admin.lib.errors import WrongArguments
from tasks_admin.results import editing, signatures
from tasks_admin.results.signatures import BoundArguments, InputKind, Parameter, Signature

#: Characters of a value that a field holds; a longer value can be kept or replaced.
MAX_FIELD_LENGTH = 20_000
#: Characters of a default value that the page shows.
MAX_DEFAULT_LENGTH = 60
MAX_ROWS = 12
ENTERED, STORED, NULL, EMPTY, DEFAULT = "entered", "stored", "null", "empty", "default"
LABELS: dict[str, str | Promise] = {
    ENTERED: gettext_lazy("Value"),
    STORED: gettext_lazy("Unchanged"),
    NULL: gettext_lazy("null"),
    EMPTY: gettext_lazy("Empty string"),
}
EXAMPLES = {
    InputKind.DATE: "2026-01-31",
    InputKind.DATETIME: "2026-01-31T12:00:00+00:00",
    InputKind.TIME: "12:00:00",
    InputKind.UUID: "00000000-0000-0000-0000-000000000000",
}


@dataclass(frozen=True, kw_only=True)
class Initial:
    """The initial content of an argument's fields."""

    text: str
    source: str
    #: The sources that the argument can have.
    sources: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One argument, for the template."""

    parameter: Parameter
    field: BoundField
    source: BoundField | None
    #: The stored value if the field does not hold it: masked, too long, or of another type.
    stored: str
    type_name: str


class EditForm(forms.Form):
    """New arguments for a task: `args` and `kwargs` once it is valid."""

    def __init__(
        self,
        data: Any = None,
        *,
        signature: Signature,
        old: BoundArguments | None,
        masked: bool = True,
    ) -> None:
        super().__init__(data)
        self.signature, self.old, self.masked = signature, old or BoundArguments(), masked
        self.args: list[Any] = []
        self.kwargs: dict[str, Any] = {}
        #: Arguments whose masked value was replaced: whether it changed is not revealed.
        self.replaced_masked: set[str] = set()
        self.initials = {one.name: self._initial(one) for one in signature.parameters}
        for one in signature.parameters:
            initial = self.initials[one.name]
            self.fields[_value_name(one)] = _field(one, initial)
            if len(initial.sources) > 1:
                choices = [(source, self._label(one, source)) for source in initial.sources]
                self.fields[_source_name(one)] = forms.ChoiceField(
                    choices=choices, initial=initial.source, required=False, label=_("Source")
                )

    def rows(self) -> list[Row]:
        """The arguments in the order of the signature."""
        return [
            Row(
                parameter=one,
                field=self[_value_name(one)],
                source=self[_source_name(one)] if _source_name(one) in self.fields else None,
                stored=self._stored(one),
                type_name=one.hint.describe(),
            )
            for one in self.signature.parameters
        ]

    def submitted(self) -> list[tuple[str, str]]:
        """The submitted fields, for the confirmation page."""
        return [(name, self.data.get(name, "")) for name in self.fields]

    def clean(self) -> dict[str, Any]:
        """Build the arguments; add each problem to the field of its argument."""
        values: dict[str, Any] = {}
        for one in self.signature.parameters:
            if {_value_name(one), _source_name(one)} & self.errors.keys():
                continue
            try:
                self._read(one, values)
            except ValueError as error:
                self.add_error(_value_name(one), f"{one.title}: {error}")
        if not self.errors:
            self._build(values)
        return self.cleaned_data

    def _build(self, values: dict[str, Any]) -> None:
        try:
            self.args, self.kwargs = signatures.call_arguments(
                self.signature, values, self.old.positional_count
            )
            signatures.check(self.signature, self.args, self.kwargs, old=self.old)
        except WrongArguments as error:
            known = {one.name: (_value_name(one), one.title) for one in self.signature.parameters}
            for name, problem in error.problems.items():
                field, title = known.get(name, (None, name))
                self.add_error(field, f"{title}: {problem}")

    def _read(self, one: Parameter, values: dict[str, Any]) -> None:
        """Add the argument's new value to `values`. Raises `ValueError` with a message."""
        initial, text = self.initials[one.name], self.cleaned_data.get(_value_name(one), "")
        source = self.cleaned_data.get(_source_name(one)) or initial.source
        entered = bool(text.strip()) and signatures.normalize_newlines(text) != initial.text
        if entered and source != ENTERED:
            if source != initial.source:
                raise ValueError(_("has a value, but another source is selected."))
            source = ENTERED
        if source != DEFAULT:
            values[one.name] = self._value(one, source, text)

    def _value(self, one: Parameter, source: str, text: str) -> Any:
        initial = self.initials[one.name]
        if source in (NULL, EMPTY):
            return None if source == NULL else ""
        if source == STORED or (initial.source == ENTERED and self._is_untouched(one, text)):
            return self.old.values[one.name]
        if not text.strip() and not (text and one.hint.input is InputKind.STRING):
            hint = (
                _(" Select “Empty string” for an empty value.") if EMPTY in initial.sources else ""
            )
            raise ValueError(_("is required.") + hint)
        if self._is_masked(one):
            self.replaced_masked.add(one.title)
        return signatures.parse(one.hint, text)

    def _is_untouched(self, one: Parameter, text: str) -> bool:
        return one.name in self.old.values and (
            signatures.normalize_newlines(text) == self.initials[one.name].text
        )

    def _initial(self, one: Parameter) -> Initial:
        given = one.name in self.old.values
        value = self.old.values.get(one.name)
        text = signatures.to_text(one.hint, value) if given and not self._is_masked(one) else None
        text = None if text is not None and len(text) > MAX_FIELD_LENGTH else text
        if given and text is None:
            source = NULL if value is None and one.nullable else STORED
        elif given:
            source = EMPTY if text == "" else ENTERED
        else:
            source = ENTERED if one.required else DEFAULT
        sources = [ENTERED]
        sources += [STORED] if source == STORED else []
        sources += [NULL] if one.nullable else []
        sources += [EMPTY] if one.hint.input is InputKind.STRING else []
        sources += [] if one.required else [DEFAULT]
        return Initial(text=text or "", source=source, sources=tuple(sources))

    def _is_masked(self, one: Parameter) -> bool:
        """Whether the stored value, or a part of it, must not be shown on this page."""
        if not self.masked or one.name not in self.old.values:
            return False
        value = {one.name: self.old.values[one.name]}
        return bool(masks.mask(value) != value)

    def _stored(self, one: Parameter) -> str:
        """The stored value if the field does not hold it."""
        if self.initials[one.name].source != STORED:
            return ""
        return editing.format_value(one.name, self.old.values)

    def _label(self, one: Parameter, source: str) -> str:
        if source != DEFAULT:
            return str(LABELS[source])
        if one.variadic:
            return _("None")
        default = (
            masks.MASK if masks.is_secret_name(one.name) else masks.mask_text(repr(one.default))
        )
        if len(default) > MAX_DEFAULT_LENGTH:
            default = f"{default[:MAX_DEFAULT_LENGTH]}…"
        return _("Use default (%(default)s)") % {"default": default}


def _value_name(one: Parameter) -> str:
    return f"arg-{one.name}"


def _source_name(one: Parameter) -> str:
    return f"source-{one.name}"


def _field(one: Parameter, initial: Initial) -> forms.Field:
    """The field for an argument's value. `EditForm.clean` parses the values of all fields."""
    options: dict[str, Any] = {"required": False, "label": one.title, "initial": initial.text}
    attributes = {"autocomplete": "off", "spellcheck": "false"}
    kind = one.hint.input
    if kind in (InputKind.BOOLEAN, InputKind.CHOICE):
        choices = [("true", "true"), ("false", "false")]
        if kind is InputKind.CHOICE:
            choices = [(celery_json.encode(item), str(item)) for item in one.hint.choices]
        return forms.ChoiceField(choices=[("", "—"), *choices], **options)
    if kind in (InputKind.STRING, InputKind.JSON):
        rows = min(MAX_ROWS, max(1 + (kind is InputKind.JSON), initial.text.count("\n") + 1))
        widget: forms.Widget = forms.Textarea(
            attrs={"rows": rows, "class": "vLargeTextField", **attributes}
        )
    else:
        attributes["placeholder"] = EXAMPLES.get(kind, "")
        widget = forms.TextInput(attrs={"class": "vTextField", **attributes})
    return forms.CharField(widget=widget, strip=False, **options)
