"""Find the users whose email address was entered on a public page."""

import unicodedata
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import QuerySet

from tasks_admin.integrations.mail.addresses import address_of

#: The maximum number of users who receive an email because one address was entered once.
MAX_USERS = 10


def normalize_address(address: str) -> str:
    """The form of an address in which all its equivalent spellings are equal."""
    return unicodedata.normalize("NFKC", address).casefold().strip()


def users_with_address(address: str) -> QuerySet[Any]:
    """The users with this address. The email goes to the stored address, not to the entered one."""
    model = get_user_model()
    field = model.get_email_field_name()
    users = model._default_manager.filter(**{f"{field}__iexact": address})
    # Databases also match characters that are not equivalent (a dotless i, a long s).
    candidates = users.order_by("pk")[:MAX_USERS]
    normalized = normalize_address(address)
    equal = [user.pk for user in candidates if normalize_address(address_of(user)) == normalized]
    return model._default_manager.filter(pk__in=equal)
