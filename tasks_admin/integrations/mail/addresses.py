"""Email addresses: where a user keeps theirs, and whether an email can be sent to it."""

from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def address_of(user: "User") -> str:
    """The user's address, from whichever field the user model keeps it in."""
    return str(getattr(user, user.get_email_field_name()) or "")


def is_deliverable(address: str) -> bool:
    """Whether an address can be put into a mail as it is.

    Django writes a local part that isn't ASCII as an encoded word, which is another mailbox.
    """
    try:
        validate_email(address)
    except ValidationError:
        return False
    return address.rpartition("@")[0].isascii() and address.isprintable()
