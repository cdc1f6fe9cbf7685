"""The forms."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _


class RequestForm(forms.Form):
    """An address to send a reset mail to; nothing to fill in for who is signed in."""

    email = forms.EmailField(
        label=_("E-mail address"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "email", "autofocus": True}),
    )

    def __init__(self, *args: Any, signed_in: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if signed_in:
            del self.fields["email"]


class ConfirmForm(forms.Form):
    """What a confirm page sends back: why, and what exactly was shown."""

    reason = forms.CharField(
        label=_("Reason"),
        help_text=_("Kept with the operation, for whoever asks later."),
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2, "class": "vLargeTextField"}),
    )
    key = forms.UUIDField(widget=forms.HiddenInput)
    shown = forms.RegexField(r"^\d{1,12}:[0-9a-f]{32}$", widget=forms.HiddenInput)


class ReasonForm(forms.Form):
    """Why something is done."""

    reason = forms.CharField(label=_("Reason"), max_length=2000)
