"""Email messages: text and HTML from templates, in the recipient's language."""

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils import translation

from tasks_admin.integrations.mail.addresses import address_of
from tasks_admin.lib.conf import settings

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from tasks_admin.models import Target

#: Characters of a user's name in an email.
MAX_NAME_LENGTH = 150


def build_email(
    name: str, *, user: "User", target: "Target", context: dict[str, Any]
) -> EmailMultiAlternatives:
    """Build the email `name` (of the templates) to a user.

    Its Message-ID is that of the target, not of the attempt: two deliveries are recognizable as
    the same email.
    """
    host = urlsplit(django_settings.HOST_URL)
    # A name with line breaks could add a text of its own.
    name_line = " ".join(user.get_username().split())[:MAX_NAME_LENGTH]
    context = {"user": user, "name": name_line, "host": host.netloc} | context
    with translation.override(language_of(user)):
        subject = render_to_string(f"tasks_admin/mail/{name}_subject.txt", context)
        message = EmailMultiAlternatives(
            " ".join(subject.split()),
            render_to_string(f"tasks_admin/mail/{name}.txt", context),
            to=[address_of(user)],
            headers={
                "Auto-Submitted": "auto-generated",
                "Message-ID": f"<{target.operation.key}.{target.pk}@{host.hostname}>",
            },
        )
        html = render_to_string(f"tasks_admin/mail/{name}.html", context)
        message.attach_alternative(html, "text/html")
    return message


def language_of(user: "User") -> str:
    """The user's language if the user model has one, else the project's."""
    chosen = getattr(user, settings.USER_LANGUAGE_FIELD, None)
    known = {code for code, _name in django_settings.LANGUAGES}
    return str(chosen) if chosen in known else django_settings.LANGUAGE_CODE
