"""Workers: who is there, and what they are doing."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.text import capfirst

from tasks_admin import workers
from tasks_admin.admin.shared.readonly import ReadOnlyAdmin
from tasks_admin.admin.workers.commands import WorkerCommandsMixin
from tasks_admin.integrations import control
from tasks_admin.lib.errors import BrokerUnreachable
from tasks_admin.models import Worker

#: Tasks that a row of the list names.
BRIEF = 3


@admin.register(Worker)
class WorkerAdmin(WorkerCommandsMixin, ReadOnlyAdmin):
    """A page of all workers, and one of each: what they say now, and what was last known."""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask the workers, and show what they said."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        overview = workers.overview()
        context: dict[str, Any] = {
            **self._common(request, str(capfirst(self.opts.verbose_name_plural))),
            "overview": overview,
            "brief": f":{BRIEF}",
            "orders": self.offered(request, overview.workers),
            "able": [seen for seen in overview.workers if workers.possible(seen)],
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/tasks_admin/worker/change_list.html", context)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show one worker; what changes seldom is asked for once, not at each refresh."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        seen, overview = workers.one(unquote(object_id))
        if seen is None:
            raise Http404
        refresh = request.headers.get("HX-Request") == "true"
        context = {
            **self._common(request, seen.name),
            "seen": seen,
            "overview": overview,
            "orders": self.offered(request, [seen]),
            "details": {} if refresh or not seen.answered else _details(seen.name),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/tasks_admin/worker/change_form.html", context)

    def get_object(self, *args: Any, **kwargs: Any) -> None:
        """There is no history or form of a worker."""

    def get_urls(self) -> list[Any]:
        """Add the addresses of orders."""
        return self.order_urls() + super().get_urls()

    def _common(self, request: HttpRequest, title: str) -> dict[str, Any]:
        context = self.admin_site.each_context(request)
        may_look = request.user.has_perm("tasks_admin.view_result")
        return {**context, "title": title, "opts": self.opts, "may_look": may_look}


def _details(name: str) -> dict[str, Any]:
    try:
        return control.details(name)
    except BrokerUnreachable:
        return {}
