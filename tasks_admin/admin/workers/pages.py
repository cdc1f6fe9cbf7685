"""The pages of workers: the list, and one page for each."""

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

#: Running tasks that a row of the list names.
MAX_LISTED_TASKS = 3


@admin.register(Worker)
class WorkerAdmin(WorkerCommandsMixin, ReadOnlyAdmin):
    """The list of all workers, and one page for each, with its reply or its last known data."""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show all workers and the commands."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        overview = workers.overview()
        context: dict[str, Any] = {
            **self._common(request, str(capfirst(self.opts.verbose_name_plural))),
            "overview": overview,
            "listed_tasks": f":{MAX_LISTED_TASKS}",
            "commands": self.offered(request, overview.workers),
            "controllable": [
                worker for worker in overview.workers if workers.available_commands(worker)
            ],
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
        """Show one worker; its settings are requested with the page, not with each refresh."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        worker, overview = workers.find(unquote(object_id))
        if worker is None:
            raise Http404
        refresh = request.headers.get("HX-Request") == "true"
        context = {
            **self._common(request, worker.name),
            "worker": worker,
            "overview": overview,
            "commands": self.offered(request, [worker]),
            "details": {} if refresh or not worker.replied else _details(worker.name),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/tasks_admin/worker/change_form.html", context)

    def get_object(self, *args: Any, **kwargs: Any) -> None:
        """Return None: a worker has neither a history nor a form."""

    def get_urls(self) -> list[Any]:
        """Add the URL of the commands."""
        return self.command_urls() + super().get_urls()

    def _common(self, request: HttpRequest, title: str) -> dict[str, Any]:
        return {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "can_view_results": request.user.has_perm("tasks_admin.view_result"),
        }


def _details(name: str) -> dict[str, Any]:
    try:
        return control.worker_details(name)
    except BrokerUnreachable:
        return {}
