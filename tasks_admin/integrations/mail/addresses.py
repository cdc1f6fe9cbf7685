"""Email addresses: the one of a user, and whether an email can be sent to it."""

from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def address_of(user: "User") -> str:
    """The user's address, in the field that the user model declares for it."""
    return str(getattr(user, user.get_email_field_name()) or "")


def is_deliverable(address: str) -> bool:
    """Whether an email to this address reaches it.

    Django encodes a local part that is not ASCII as an encoded word, which is another mailbox.
    """
    try:
        validate_email(address)
    except ValidationError:
        return False
    return address.rpartition("@")[0].isascii() and address.isprintable()
