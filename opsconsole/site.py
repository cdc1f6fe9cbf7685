"""The admin site: Django's, with an overview at the top of its index page.

It is not in `tasks_admin.admin`: importing that package registers pages, which requires the site.
"""

from typing import Any

from django.conf import settings as django_settings
from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _


class ConsoleSite(AdminSite):
    """Django's admin site with the title and the overview of the console."""

    site_header = _("Ops console")
    site_title = _("Ops console")
    index_title = _("Overview")
    site_url = None
    index_template = "admin/console_index.html"

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Show running operations and recent failures above the list of pages."""
        from tasks_admin.models import FailureGroup, Operation

        running_operations, recent_failures = [], []
        if request.user.has_perm("tasks_admin.view_operation"):
            running_operations = list(Operation.objects.active().order_by("-pk")[:5])
        if request.user.has_perm("tasks_admin.view_failuregroup"):
            recent_failures = list(FailureGroup.objects.failing()[:5])
        overview = {"running_operations": running_operations, "recent_failures": recent_failures}
        return super().index(request, overview | (extra_context or {}))

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Add whether to link to the caught emails: they exist, and the user may view them."""
        enabled = bool(getattr(django_settings, "MAIL_CATCHER_DIR", None))
        can_view = enabled and request.user.has_perm("tasks_admin.view_caught_mail")
        return super().each_context(request) | {"can_view_caught_emails": can_view}
