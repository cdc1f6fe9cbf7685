"""The admin site: Django's, with an overview on top.

Not in the package `admin`: importing that registers pages, for which the site must exist.
"""

from typing import Any

from django.conf import settings as django_settings
from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _


class ConsoleSite(AdminSite):
    """Django's admin site under the console's name."""

    site_header = _("Ops console")
    site_title = _("Ops console")
    index_title = _("Overview")
    site_url = None
    index_template = "admin/console_index.html"

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Show what goes on, above the list of pages."""
        from tasks_admin.models import Cause, Operation

        going, failing = [], []
        if request.user.has_perm("tasks_admin.view_operation"):
            going = list(Operation.objects.going().order_by("-pk")[:5])
        if request.user.has_perm("tasks_admin.view_cause"):
            failing = list(Cause.objects.failing()[:5])
        more = {"going": going, "failing": failing}
        return super().index(request, more | (extra_context or {}))

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Let every page link to the mails that the catcher kept, while there is a catcher."""
        catches = bool(getattr(django_settings, "MAIL_CATCHER_DIR", None))
        may_read = catches and request.user.has_perm("tasks_admin.view_caught_mail")
        return super().each_context(request) | {"may_read_caught_mail": may_read}
