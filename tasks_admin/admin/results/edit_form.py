"""The form of a task's arguments: made from its signature, filled with the old ones.

Each argument has a field for its value, and where there is more to choose a field that says how:
typed in, as it was, null, an empty text, or left out.
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
from tasks_admin.results.signatures import Entry, Parameter, Placed, Signature

#: Characters of a value that the form is filled with; what is longer stays as it was.
LONGEST = 20_000
#: Characters of a default that are shown.
BRIEF = 60
TYPED, KEPT, NULL, EMPTY, DEFAULT = "typed", "kept", "null", "empty", "default"
WORDS: dict[str, str | Promise] = {
    TYPED: gettext_lazy("as typed in"),
    KEPT: gettext_lazy("unchanged"),
    NULL: gettext_lazy("null"),
    EMPTY: gettext_lazy("an empty text"),
}
EXAMPLES = {
    Entry.DATE: "2026-01-31",
    Entry.MOMENT: "2026-01-31T12:00:00+00:00",
    Entry.TIME: "12:00:00",
    Entry.UUID: "00000000-0000-0000-0000-000000000000",
}


@dataclass(frozen=True, kw_only=True)
class Begin:
    """How an argument stands in the form at first."""

    text: str
    how: str
    ways: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One argument, for the template."""

    parameter: Parameter
    field: BoundField
    how: BoundField | None
    #: What the form does not hold of the old value: masked, or of another type.
    was: str
    must: str


class EditForm(forms.Form):
    """New arguments for a task."""

    def __init__(
        self, data: Any = None, *, signature: Signature, old: Placed | None, masked: bool = True
    ) -> None:
        super().__init__(data)
        self.signature, self.old, self.masked = signature, old or Placed(), masked
        self.args: list[Any] = []
        self.named: dict[str, Any] = {}
        #: What was typed over a mask: whether it is the same is not told.
        self.over_masks: set[str] = set()
        self.begins = {one.name: self._begin(one) for one in signature.parameters}
        for one in signature.parameters:
            begin = self.begins[one.name]
            self.fields[_value(one)] = _field(one, begin)
            if len(begin.ways) > 1:
                choices = [(way, self._words(one, way)) for way in begin.ways]
                self.fields[_way(one)] = forms.ChoiceField(
                    choices=choices, initial=begin.how, required=False, label=_("How")
                )

    def rows(self) -> list[Row]:
        """The arguments, in their order."""
        return [
            Row(
                parameter=one,
                field=self[_value(one)],
                how=self[_way(one)] if _way(one) in self.fields else None,
                was=self._was(one),
                must=one.hint.words(),
            )
            for one in self.signature.parameters
        ]

    def posted(self) -> list[tuple[str, str]]:
        """What was filled in, for the page that asks whether it is meant."""
        return [(name, self.data.get(name, "")) for name in self.fields]

    def clean(self) -> dict[str, Any]:
        """Make the arguments; say by name what is wrong with them."""
        values: dict[str, Any] = {}
        for one in self.signature.parameters:
            if {_value(one), _way(one)} & self.errors.keys():
                continue
            try:
                self._take(one, values)
            except ValueError as error:
                self.add_error(_value(one), f"{one.title}: {error}")
        if not self.errors:
            self._arrange(values)
        return self.cleaned_data

    def _arrange(self, values: dict[str, Any]) -> None:
        try:
            self.args, self.named = signatures.arranged(self.signature, values, self.old.by_place)
            signatures.check(self.signature, self.args, self.named, before=self.old)
        except WrongArguments as error:
            titles = {one.name: (_value(one), one.title) for one in self.signature.parameters}
            for name, words in error.problems.items():
                field, title = titles.get(name, (None, name))
                self.add_error(field, f"{title}: {words}")

    def _take(self, one: Parameter, values: dict[str, Any]) -> None:
        """Put into `values` what an argument shall be. Raises `ValueError` in words."""
        begin, text = self.begins[one.name], self.cleaned_data.get(_value(one), "")
        way = self.cleaned_data.get(_way(one)) or begin.how
        typed = bool(text.strip()) and signatures.folded(text) != begin.text
        if typed and way != TYPED:
            if way != begin.how:
                raise ValueError(_("a value was typed in, and something else was chosen."))
            way = TYPED
        if way == DEFAULT:
            return
        values[one.name] = self._value_of(one, way, text)

    def _value_of(self, one: Parameter, way: str, text: str) -> Any:
        begin = self.begins[one.name]
        if way in (NULL, EMPTY):
            return None if way == NULL else ""
        if way == KEPT or (begin.how == TYPED and self._untouched(one, text)):
            return self.old.values[one.name]
        if not text.strip() and not (text and one.hint.entry is Entry.TEXT):
            more = _(' Choose "an empty text" if that is meant.') if EMPTY in begin.ways else ""
            raise ValueError(_("is missing: the task needs it.") + more)
        if self._hidden(one):
            self.over_masks.add(one.title)
        return signatures.read(one.hint, text)

    def _untouched(self, one: Parameter, text: str) -> bool:
        return one.name in self.old.values and (
            signatures.folded(text) == self.begins[one.name].text
        )

    def _begin(self, one: Parameter) -> Begin:
        given = one.name in self.old.values
        value = self.old.values.get(one.name)
        text = signatures.written(one.hint, value) if given and not self._hidden(one) else None
        text = None if text is not None and len(text) > LONGEST else text
        ways = [TYPED]
        if given and text is None and value is not None:
            how = KEPT
        elif given and text is None:
            how = NULL if one.nullable else KEPT
        elif given:
            how = EMPTY if text == "" else TYPED
        else:
            how = TYPED if one.required else DEFAULT
        ways += [KEPT] if how == KEPT else []
        ways += [NULL] if one.nullable else []
        ways += [EMPTY] if one.hint.entry is Entry.TEXT else []
        ways += [] if one.required else [DEFAULT]
        return Begin(text=text or "", how=how, ways=tuple(ways))

    def _hidden(self, one: Parameter) -> bool:
        """Whether the old value, or something in it, must not be read here."""
        if not self.masked or one.name not in self.old.values:
            return False
        value = {one.name: self.old.values[one.name]}
        return bool(masks.mask(value) != value)

    def _was(self, one: Parameter) -> str:
        """The old value where the form is not filled with it."""
        if self.begins[one.name].how != KEPT:
            return ""
        return editing.brief(one.name, self.old.values)

    def _words(self, one: Parameter, way: str) -> str:
        if way != DEFAULT:
            return str(WORDS[way])
        if one.many:
            return _("none")
        default = masks.MASK if masks.secret(one.name) else masks.mask_text(repr(one.default))
        default = default if len(default) <= BRIEF else f"{default[:BRIEF]}…"
        return _("left out (%(default)s)") % {"default": default}


def _value(one: Parameter) -> str:
    return f"arg-{one.name}"


def _way(one: Parameter) -> str:
    return f"how-{one.name}"


def _field(one: Parameter, begin: Begin) -> forms.Field:
    """The field that takes an argument's value. What is filled in is read later, all at once."""
    more: dict[str, Any] = {"required": False, "label": one.title, "initial": begin.text}
    attributes = {"autocomplete": "off", "spellcheck": "false"}
    entry = one.hint.entry
    if entry in (Entry.TRUTH, Entry.CHOICE):
        choices = [("true", _("yes")), ("false", _("no"))]
        if entry is Entry.CHOICE:
            choices = [(celery_json.encode(item), str(item)) for item in one.hint.choices]
        return forms.ChoiceField(choices=[("", "—"), *choices], **more)
    if entry in (Entry.TEXT, Entry.JSON):
        rows = min(12, max(1 + (entry is Entry.JSON), begin.text.count("\n") + 1))
        widget: forms.Widget = forms.Textarea(
            attrs={"rows": rows, "class": "vLargeTextField", **attributes}
        )
    else:
        attributes["placeholder"] = EXAMPLES.get(entry, "")
        widget = forms.TextInput(attrs={"class": "vTextField", **attributes})
    return forms.CharField(widget=widget, strip=False, **more)
