"""Workers: who is there, and what they are doing."""

import time
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.text import capfirst

from tasks_admin import control
from tasks_admin.admin.readonly import ReadOnlyAdmin
from tasks_admin.errors import BrokerUnreachable
from tasks_admin.models import Worker


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    """One page: every worker that answers."""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask the workers, and show what they said."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": capfirst(self.opts.verbose_name_plural),
            "opts": self.opts,
            **(extra_context or {}),
        }
        try:
            snapshot = control.snapshot()
        except BrokerUnreachable as error:
            context["error"] = str(error)
        else:
            context["workers"] = snapshot.workers
            context["age"] = time.monotonic() - snapshot.taken_at
        return TemplateResponse(request, "admin/tasks_admin/worker/change_list.html", context)

    def get_object(self, *args: Any, **kwargs: Any) -> None:
        """Workers are on the broker: there is no table to look into."""

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """There is no page of one worker yet: show all."""
        return self.changelist_view(request)
