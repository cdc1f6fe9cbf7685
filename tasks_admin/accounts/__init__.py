"""Users: reset emails, their links, and the public pages that send and use them."""

from tasks_admin.accounts.actions import (
    request_own_reset_email,
    request_reset_emails,
    select,
    send_reset_emails,
    target_rows,
)
from tasks_admin.accounts.delivery import deliver_password_changed, deliver_reset_email
from tasks_admin.accounts.eligibility import with_exclusion_reason
from tasks_admin.accounts.lookup import normalize_address, users_with_address
from tasks_admin.accounts.passwords import set_password, user_of_link

__all__ = [
    "deliver_password_changed",
    "deliver_reset_email",
    "normalize_address",
    "request_own_reset_email",
    "request_reset_emails",
    "select",
    "send_reset_emails",
    "set_password",
    "target_rows",
    "user_of_link",
    "users_with_address",
    "with_exclusion_reason",
]
