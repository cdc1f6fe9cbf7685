"""Queues: how much waits, who consumes it, and what staff can do about it."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from tasks_admin import queues
from tasks_admin.accounts.forms import ReasonForm
from tasks_admin.admin.shared.confirm import can, current_user
from tasks_admin.admin.shared.readonly import ReadOnlyAdmin
from tasks_admin.lib.errors import ConsoleError, NotAllowed
from tasks_admin.lib.verbs import (
    PAUSE_QUEUE,
    PEEK_QUEUE,
    PURGE_QUEUE,
    RESTORE_QUEUE,
    RESUME_QUEUE,
    VERBS,
)
from tasks_admin.models import Operation, Queue
from tasks_admin.models.queues import queue_page_of

#: What each act comes to; a look into the queue asks nothing first.
WARNINGS = {
    PAUSE_QUEUE: _(
        "No worker consumes it any more, also not one that starts later, until it is resumed. "
        "What workers have taken from it already is still run. What is queued waits."
    ),
    RESUME_QUEUE: _("Those workers consume it again that did before, or would have."),
    PURGE_QUEUE: _(
        "What waits in it at this moment is taken out and kept in quarantine, from which it can be "
        "restored. What workers have taken already is still run. Operations whose messages are "
        "taken out wait for them: abort those that shall not go on."
    ),
    RESTORE_QUEUE: _("What was purged is put back into the queue, byte for byte, and then run."),
}
ACTS = {PAUSE_QUEUE: queues.pause, RESUME_QUEUE: queues.resume, PURGE_QUEUE: queues.purge}


@admin.register(Queue)
class QueueAdmin(ReadOnlyAdmin):
    """A page of all queues, and one of each."""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask the broker and the workers, and show what they said."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context: dict[str, Any] = {
            **self._common(request, str(capfirst(self.opts.verbose_name_plural))),
            "overview": queues.overview(),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/tasks_admin/queue/change_list.html", context)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show one queue."""
        return self._page(request, unquote(object_id), **(extra_context or {}))

    def get_object(self, *args: Any, **kwargs: Any) -> None:
        """There is no history or form of a queue."""

    def get_urls(self) -> list[Any]:
        """Add an address for each act."""
        view = self.admin_site.admin_view(self.act)
        return [
            path("<path:name>/<slug:verb>_queue/", view, name="tasks_admin_queue_act"),
            *super().get_urls(),
        ]

    def act(self, request: HttpRequest, name: str, verb: str) -> HttpResponse:
        """Ask on a GET; do it on a POST."""
        name, verb = unquote(name), f"{verb}_queue"
        if verb not in {*ACTS, RESTORE_QUEUE, PEEK_QUEUE}:
            raise Http404
        if not (self.has_view_permission(request) and can(request, verb)):
            raise PermissionDenied
        if verb == PEEK_QUEUE:
            return self._look(request, name)
        operation = self._operation(request) if verb == RESTORE_QUEUE else None
        form = ReasonForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            done = self._do(request, name, verb, form.cleaned_data["reason"], operation)
            return HttpResponseRedirect(done.get_absolute_url() if done else queue_page_of(name))
        context = {
            **self._common(request, str(VERBS[verb].label)),
            "name": name,
            "verb": VERBS[verb],
            "form": form,
            "warning": WARNINGS[verb],
            "operation": operation,
            "back": queue_page_of(name),
            "list": reverse("admin:tasks_admin_queue_changelist"),
        }
        return TemplateResponse(request, "admin/tasks_admin/queue/act.html", context)

    def _do(
        self, request: HttpRequest, name: str, verb: str, reason: str, purged: Operation | None
    ) -> Operation | None:
        told: dict[str, Any] = {"actor": current_user(request), "reason": reason}
        try:
            if purged is not None:
                return queues.restore(operation=purged, **told)
            return ACTS[verb](name=name, **told)
        except NotAllowed as error:
            raise PermissionDenied(str(error)) from None
        except ConsoleError as error:
            messages.error(request, str(error))
            return None

    def _operation(self, request: HttpRequest) -> Operation:
        """The purge that a restoration is about."""
        data = request.POST if request.method == "POST" else request.GET
        key = data.get("operation", "")
        purges = Operation.objects.filter(verb=PURGE_QUEUE)
        found = purges.filter(pk=int(key)).first() if key.isascii() and key.isdigit() else None
        if found is None:
            raise Http404
        return found

    def _look(self, request: HttpRequest, name: str) -> HttpResponse:
        """Show the next messages on the queue's page, this once."""
        if request.method != "POST":
            return HttpResponse(status=405, headers={"Allow": "POST"})
        try:
            found = queues.look_into(name=name, actor=current_user(request))
        except NotAllowed as error:
            raise PermissionDenied(str(error)) from None
        except ConsoleError as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(queue_page_of(name))
        answer = self._page(request, name, next=found, looked=True)
        answer["Cache-Control"] = "no-store"
        return answer

    def _page(self, request: HttpRequest, name: str, **more: Any) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        seen, overview = queues.one(name)
        if seen is None:
            raise Http404
        acts = [PURGE_QUEUE, RESUME_QUEUE if seen.paused_at else PAUSE_QUEUE]
        context = {
            **self._common(request, seen.name),
            "seen": seen,
            "overview": overview,
            "history": queues.history(seen.name),
            "quarantines": queues.quarantines(seen.name),
            "acts": [self._act(seen.name, verb) for verb in reversed(acts) if can(request, verb)],
            "may_peek": can(request, PEEK_QUEUE),
            "may_restore": can(request, RESTORE_QUEUE),
            "quoted": quote(seen.name),
            **more,
        }
        return TemplateResponse(request, "admin/tasks_admin/queue/change_form.html", context)

    def _act(self, name: str, verb: str) -> tuple[str, str]:
        """What a link says, and where it leads."""
        short = verb.removesuffix("_queue")
        url = reverse("admin:tasks_admin_queue_act", args=[quote(name), short])
        return str(VERBS[verb].label), url

    def _common(self, request: HttpRequest, title: str) -> dict[str, Any]:
        context = self.admin_site.each_context(request)
        may_look = request.user.has_perm("tasks_admin.view_result")
        return {**context, "title": title, "opts": self.opts, "may_look": may_look}
