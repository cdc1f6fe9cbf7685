"""The pages of the caught mails. They hold reset links: a permission of their own guards them."""

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
#: Characters of a body that a page shows; it says so when there are more.
SHOWN = 100_000


@require_safe
@permission_required(PERMISSION, raise_exception=True)
def mails(request: HttpRequest) -> HttpResponse:
    """List the mails, newest first; `q` keeps those to an address."""
    directory = _directory()
    query = request.GET.get("q", "").strip()
    names = store.search(directory, query) if query else store.names(directory)
    paginator = Paginator(names, PER_PAGE)
    page = paginator.get_page(request.GET.get("page"))
    found = [store.read(directory, name, head_only=True) for name in page]
    context = {
        "title": _("Caught mails"),
        "mails": [mail for mail in found if mail],
        "page": page,
        "pages": paginator.get_elided_page_range(page.number),
        "query": query,
        "searched": store.SEARCHED,
    }
    return _page(request, "mailcatcher/list.html", context)


@require_safe
@permission_required(PERMISSION, raise_exception=True)
def mail(request: HttpRequest, name: str) -> HttpResponse:
    """Show one mail: its headers, its text, and the source of its HTML."""
    found = store.read(_directory(), name)
    if found is None:
        raise Http404("No such mail.")
    text, html = found.text, found.html
    context = {
        "title": found.subject or _("(no subject)"),
        "mail": found,
        "text": text[:SHOWN],
        "html": html[:SHOWN],
        "shown": SHOWN,
        "cut": len(text) > SHOWN or len(html) > SHOWN,
    }
    return _page(request, "mailcatcher/detail.html", context)


def _directory() -> Path:
    """Where the mails are; 404 when they go to a real server."""
    if settings.MAIL_CATCHER_DIR is None:
        raise Http404("No mail is caught: EMAIL_URL is set.")
    return Path(settings.MAIL_CATCHER_DIR)


def _page(request: HttpRequest, template: str, context: dict[str, object]) -> HttpResponse:
    """A page of the admin site."""
    return TemplateResponse(request, template, admin.site.each_context(request) | context)
