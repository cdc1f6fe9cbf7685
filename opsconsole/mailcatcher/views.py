"""The pages of the caught emails. They show reset links, so they require their own permission."""

from pathlib import Path

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.decorators import permission_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from opsconsole.mailcatcher import store

PERMISSION = "tasks_admin.view_caught_mail"
PER_PAGE = 50
#: Characters of a body that the page shows. A note states when a body is longer.
MAX_SHOWN_LENGTH = 100_000


@require_safe
@permission_required(PERMISSION, raise_exception=True)
def email_list(request: HttpRequest) -> HttpResponse:
    """List the emails, latest first; `q` filters by recipient."""
    directory = _directory()
    query = request.GET.get("q", "").strip()
    names = store.search(directory, query) if query else store.names(directory)
    paginator = Paginator(names, PER_PAGE)
    page = paginator.get_page(request.GET.get("page"))
    emails = [store.read(directory, name, head_only=True) for name in page]
    context = {
        "title": _("Caught emails"),
        "emails": [email for email in emails if email],
        "page": page,
        "page_range": paginator.get_elided_page_range(page.number),
        "query": query,
        "max_searched": store.MAX_SEARCHED,
    }
    return _render(request, "mailcatcher/list.html", context)


@require_safe
@permission_required(PERMISSION, raise_exception=True)
def email_detail(request: HttpRequest, name: str) -> HttpResponse:
    """Show one email: its text, its HTML source and its headers."""
    email = store.read(_directory(), name)
    if email is None:
        raise Http404("No such email.")
    text, html = email.text, email.html
    context = {
        "title": email.subject or _("(no subject)"),
        "email": email,
        "text": text[:MAX_SHOWN_LENGTH],
        "html": html[:MAX_SHOWN_LENGTH],
        "max_shown_length": MAX_SHOWN_LENGTH,
        "truncated": len(text) > MAX_SHOWN_LENGTH or len(html) > MAX_SHOWN_LENGTH,
    }
    return _render(request, "mailcatcher/detail.html", context)


def _directory() -> Path:
    """Return the directory of the emails; 404 if a mail server is configured."""
    if settings.MAIL_CATCHER_DIR is None:
        raise Http404("The mail catcher is not used: EMAIL_URL is set.")
    return Path(settings.MAIL_CATCHER_DIR)


def _render(request: HttpRequest, template: str, context: dict[str, object]) -> HttpResponse:
    """Render a page of the admin site."""
    return TemplateResponse(request, template, admin.site.each_context(request) | context)
