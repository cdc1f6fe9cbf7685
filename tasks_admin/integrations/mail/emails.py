"""Build emails: text and HTML from templates, in the recipient's language."""

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

#: The maximum length of a username in an email; longer ones are truncated.
MAX_NAME_LENGTH = 150


def build_email(
    name: str, *, user: "User", target: "Target", context: dict[str, Any]
) -> EmailMultiAlternatives:
    """Build an email to a user from the templates `tasks_admin/emails/<name>…`.

    Its Message-ID depends on the target, not on the attempt: if it is sent twice, mail programs
    recognize the duplicate.
    """
    host = urlsplit(django_settings.HOST_URL)
    # On one line: otherwise a username could add paragraphs of its own to the email.
    username = " ".join(user.get_username().split())[:MAX_NAME_LENGTH]
    context = {"user": user, "name": username, "host": host.netloc} | context
    with translation.override(language_of(user)):
        subject = render_to_string(f"tasks_admin/emails/{name}_subject.txt", context)
        message = EmailMultiAlternatives(
            " ".join(subject.split()),
            render_to_string(f"tasks_admin/emails/{name}.txt", context),
            to=[address_of(user)],
            headers={
                "Auto-Submitted": "auto-generated",
                "Message-ID": f"<{target.operation.key}.{target.pk}@{host.hostname}>",
            },
        )
        html = render_to_string(f"tasks_admin/emails/{name}.html", context)
        message.attach_alternative(html, "text/html")
    return message


def language_of(user: "User") -> str:
    """The user's language if the user model has a field for it, else the project's."""
    preferred = getattr(user, settings.USER_LANGUAGE_FIELD, None)
    supported = {code for code, _name in django_settings.LANGUAGES}
    return str(preferred) if preferred in supported else django_settings.LANGUAGE_CODE
