"""The forms of the public pages."""

from typing import Any

from django import forms
from django.contrib.auth.forms import SetPasswordForm as DjangoSetPasswordForm
from django.core.validators import EmailValidator, MaxLengthValidator
from django.utils.translation import gettext_lazy as _

from tasks_admin.integrations.mail.addresses import is_deliverable


class RequestResetEmailForm(forms.Form):
    """The email address of an account; a signed-in user has nothing to fill in."""

    email = forms.EmailField(
        label=_("Email address"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "email", "autofocus": True}),
    )

    def __init__(self, *args: Any, signed_in: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if signed_in:
            del self.fields["email"]

    def clean_email(self) -> str:
        """Reject undeliverable addresses: JSON, for example, can contain lone surrogates."""
        address: str = self.cleaned_data["email"]
        if not is_deliverable(address):
            raise forms.ValidationError(EmailValidator.message, code="invalid")
        return address


class SetPasswordForm(DjangoSetPasswordForm):  # type: ignore[type-arg]
    """A new password, entered twice."""

    #: Longer input is rejected before it is validated and hashed.
    MAX_LENGTH = 1024

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("new_password1", "new_password2"):
            self.fields[name].validators.append(MaxLengthValidator(self.MAX_LENGTH))
