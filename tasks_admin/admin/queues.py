"""The pages of queues: the list, one page for each, and the actions on them."""

from functools import partial
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.text import capfirst

from tasks_admin import queues
from tasks_admin.admin.shared.actions import action_page, to_operation
from tasks_admin.admin.shared.readonly import ReadOnlyAdmin
from tasks_admin.admin.shared.responses import can, current_user, require_verb
from tasks_admin.lib.verbs import (
    PAUSE_QUEUE,
    PEEK_QUEUE,
    PURGE_QUEUE,
    RESTORE_QUEUE,
    RESUME_QUEUE,
    VERBS,
)
from tasks_admin.models import Operation, Queue
from tasks_admin.models.queues import queue_url
from tasks_admin.operations import Confirmation


@admin.register(Queue)
class QueueAdmin(ReadOnlyAdmin):
    """The list of all queues, and one page for each."""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show all queues."""
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
        """Return None: a queue has neither a history nor a form."""

    def get_urls(self) -> list[Any]:
        """Add the URL of the actions."""
        view = self.admin_site.admin_view(self.action)
        return [
            path("<path:name>/<slug:verb>_queue/", view, name="tasks_admin_queue_action"),
            *super().get_urls(),
        ]

    def action(self, request: HttpRequest, name: str, verb: str) -> HttpResponse:
        """Show what an action will do on GET; perform it on POST."""
        name, verb = unquote(name), f"{verb}_queue"
        if verb not in {*queues.ACTIONS, RESTORE_QUEUE, PEEK_QUEUE}:
            raise Http404
        if not self.has_view_permission(request):
            raise PermissionDenied
        return require_verb(verb, self._action)(request, name, verb)

    def _action(self, request: HttpRequest, name: str, verb: str) -> HttpResponse:
        page = partial(action_page, self, request, verb=verb, back=queue_url(name))
        if verb == PEEK_QUEUE:
            return page(
                act=lambda _confirmed: queues.peek(name=name, actor=current_user(request)),
                respond=lambda messages: self._peeked(request, name, messages),
                subject=name,
            )
        if verb == RESTORE_QUEUE:
            purge = self._operation(request)
            return page(
                act=lambda confirmed: queues.restore(operation=purge, **_by(confirmed)),
                respond=to_operation(request),
                subject=f"{name} ({purge})",
                hidden=[("operation", str(purge.pk))],
            )
        return page(
            act=lambda confirmed: queues.ACTIONS[verb](name=name, **_by(confirmed)),
            respond=to_operation(request),
            subject=name,
        )

    def _operation(self, request: HttpRequest) -> Operation:
        """Return the purge to restore."""
        data = request.POST if request.method == "POST" else request.GET
        key = data.get("operation", "")
        purges = Operation.objects.filter(verb=PURGE_QUEUE)
        found = purges.filter(pk=int(key)).first() if key.isascii() and key.isdigit() else None
        if found is None:
            raise Http404
        return found

    def _peeked(self, request: HttpRequest, name: str, messages: list[Any]) -> HttpResponse:
        """Show the next messages on the queue's page, in this response only."""
        response = self._page(request, name, next_messages=messages, peeked=True)
        response["Cache-Control"] = "no-store"
        return response

    def _page(self, request: HttpRequest, name: str, **more: Any) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        queue, overview = queues.find(name)
        if queue is None:
            raise Http404
        verbs = [PURGE_QUEUE, RESUME_QUEUE if queue.paused_at else PAUSE_QUEUE]
        context = {
            **self._common(request, queue.name),
            "queue": queue,
            "overview": overview,
            "history": queues.history(queue.name),
            "purges": queues.purges(queue.name),
            "actions": [
                self._link(queue.name, verb) for verb in reversed(verbs) if can(request, verb)
            ],
            "can_peek": can(request, PEEK_QUEUE),
            "can_restore": can(request, RESTORE_QUEUE),
            "quoted": quote(queue.name),
            **more,
        }
        return TemplateResponse(request, "admin/tasks_admin/queue/change_form.html", context)

    def _link(self, name: str, verb: str) -> tuple[str, str]:
        """Return the text and the URL of a link to an action."""
        short = verb.removesuffix("_queue")
        url = reverse("admin:tasks_admin_queue_action", args=[quote(name), short])
        return str(VERBS[verb].label), url

    def _common(self, request: HttpRequest, title: str) -> dict[str, Any]:
        return {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "can_view_results": request.user.has_perm("tasks_admin.view_result"),
        }


def _by(confirmation: Confirmation) -> dict[str, Any]:
    """Return the actor and the reason of a confirmation."""
    return {"actor": confirmation.actor, "reason": confirmation.reason}
