"""The forms."""

from typing import Any

from django import forms
from django.contrib.auth.forms import SetPasswordForm
from django.core.validators import EmailValidator, MaxLengthValidator
from django.utils.translation import gettext_lazy as _

from tasks_admin.integrations.mail.addresses import is_deliverable


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

    def clean_email(self) -> str:
        """Refuse what nobody could be mailed at, whoever asks: JSON brings lone surrogates too."""
        address: str = self.cleaned_data["email"]
        if not is_deliverable(address):
            raise forms.ValidationError(EmailValidator.message, code="invalid")
        return address


class ChooseForm(SetPasswordForm):  # type: ignore[type-arg]
    """A new password, typed twice."""

    #: What is longer is refused before it is judged and hashed.
    LONGEST = 1024

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("new_password1", "new_password2"):
            self.fields[name].validators.append(MaxLengthValidator(self.LONGEST))
