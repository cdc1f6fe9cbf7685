"""The forms with which staff confirm an action: one for each verb, built from its properties."""

from typing import Any

from django import forms
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _

from tasks_admin.lib.verbs import VERBS
from tasks_admin.operations import Confirmation

#: The fields of a confirmation itself; the values of all others are its `answers`.
COMMON = ("reason", "rate", "canary", "key", "shown")
MAX_REASON_LENGTH = 2000


def rate_field() -> forms.IntegerField:
    """Targets published each minute; empty: no limit."""
    return forms.IntegerField(
        label=_("Rate limit (per minute)"),
        help_text=_("For mail providers that limit sending. Leave empty for no limit."),
        required=False,
        min_value=1,
        max_value=1_000_000,
    )


class ReasonForm(forms.Form):
    """The reason for an action. The form of a verb with more fields is a subclass."""

    reason = forms.CharField(
        label=_("Reason"),
        help_text=_("Stored in the audit trail."),
        max_length=MAX_REASON_LENGTH,
        widget=forms.Textarea(attrs={"rows": 2, "class": "vLargeTextField"}),
    )


class RateForm(ReasonForm):
    """A new rate, and the reason."""

    rate = rate_field()


def build_form(
    verb: str, data: Any = None, *, bulk: bool = False, initial: dict[str, Any] | None = None
) -> forms.Form:
    """The form of a verb; `bulk` adds the fields that its properties and its preview need."""
    declared = VERBS[verb]
    form_class = import_string(declared.form.replace(":", ".")) if declared.form else ReasonForm
    form: forms.Form = form_class(data, initial=initial)
    if not declared.requires_reason:
        del form.fields["reason"]
    if bulk:
        form.fields |= _bulk_fields(verb)
    return form


def _bulk_fields(verb: str) -> dict[str, forms.Field]:
    fields: dict[str, forms.Field] = {}
    if VERBS[verb].rate_limited:
        fields["rate"] = rate_field()
    if VERBS[verb].canary:
        fields["canary"] = forms.BooleanField(
            label=_("Canary: run one first"),
            help_text=_("Continue only if it succeeds; otherwise the operation is paused."),
            required=False,
        )
    fields["key"] = forms.UUIDField(widget=forms.HiddenInput)
    fields["shown"] = forms.RegexField(r"^\d{1,12}:[0-9a-f]{32}$", widget=forms.HiddenInput)
    return fields


def confirmation_of(form: forms.Form, actor: Any) -> Confirmation:
    """The confirmation in a valid form."""
    cleaned = form.cleaned_data
    answers = {
        str(form.fields[name].label or name): str(value)
        for name, value in cleaned.items()
        if name not in COMMON and value not in (None, "")
    }
    given = {name: cleaned[name] for name in COMMON if name in cleaned}
    return Confirmation(actor=actor, answers=answers, **given)
