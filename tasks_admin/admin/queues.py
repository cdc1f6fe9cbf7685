"""Queues: how much waits, who consumes it, and what staff can do about it."""

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

ACTIONS = {PAUSE_QUEUE: queues.pause, RESUME_QUEUE: queues.resume, PURGE_QUEUE: queues.purge}


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
        view = self.admin_site.admin_view(self.action)
        return [
            path("<path:name>/<slug:verb>_queue/", view, name="tasks_admin_queue_action"),
            *super().get_urls(),
        ]

    def action(self, request: HttpRequest, name: str, verb: str) -> HttpResponse:
        """Show what an action will do on GET; perform it on POST."""
        name, verb = unquote(name), f"{verb}_queue"
        if verb not in {*ACTIONS, RESTORE_QUEUE, PEEK_QUEUE}:
            raise Http404
        if not self.has_view_permission(request):
            raise PermissionDenied
        return require_verb(verb, self._action)(request, name, verb)

    def _action(self, request: HttpRequest, name: str, verb: str) -> HttpResponse:
        page = partial(action_page, self, request, verb=verb, back=queue_url(name))
        if verb == PEEK_QUEUE:
            return page(
                act=lambda _confirmed: queues.look_into(name=name, actor=current_user(request)),
                respond=lambda found: self._peeked(request, name, found),
                subject=name,
            )
        if verb == RESTORE_QUEUE:
            purge = self._operation(request)
            return page(
                act=lambda confirmed: queues.restore(operation=purge, **_who(confirmed)),
                respond=to_operation(request),
                subject=f"{name} ({purge})",
                hidden=[("operation", str(purge.pk))],
            )
        return page(
            act=lambda confirmed: ACTIONS[verb](name=name, **_who(confirmed)),
            respond=to_operation(request),
            subject=name,
        )

    def _operation(self, request: HttpRequest) -> Operation:
        """The purge whose messages are to be restored."""
        data = request.POST if request.method == "POST" else request.GET
        key = data.get("operation", "")
        purges = Operation.objects.filter(verb=PURGE_QUEUE)
        found = purges.filter(pk=int(key)).first() if key.isascii() and key.isdigit() else None
        if found is None:
            raise Http404
        return found

    def _peeked(self, request: HttpRequest, name: str, found: list[Any]) -> HttpResponse:
        """Show the next messages on the queue's page, this once."""
        response = self._page(request, name, next=found, looked=True)
        response["Cache-Control"] = "no-store"
        return response

    def _page(self, request: HttpRequest, name: str, **more: Any) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        seen, overview = queues.one(name)
        if seen is None:
            raise Http404
        verbs = [PURGE_QUEUE, RESUME_QUEUE if seen.paused_at else PAUSE_QUEUE]
        context = {
            **self._common(request, seen.name),
            "seen": seen,
            "overview": overview,
            "history": queues.history(seen.name),
            "quarantines": queues.quarantines(seen.name),
            "actions": [
                self._link(seen.name, verb) for verb in reversed(verbs) if can(request, verb)
            ],
            "may_peek": can(request, PEEK_QUEUE),
            "may_restore": can(request, RESTORE_QUEUE),
            "quoted": quote(seen.name),
            **more,
        }
        return TemplateResponse(request, "admin/tasks_admin/queue/change_form.html", context)

    def _link(self, name: str, verb: str) -> tuple[str, str]:
        """The text and the URL of a link to an action."""
        short = verb.removesuffix("_queue")
        url = reverse("admin:tasks_admin_queue_action", args=[quote(name), short])
        return str(VERBS[verb].label), url

    def _common(self, request: HttpRequest, title: str) -> dict[str, Any]:
        context = self.admin_site.each_context(request)
        may_look = request.user.has_perm("tasks_admin.view_result")
        return {**context, "title": title, "opts": self.opts, "may_look": may_look}


def _who(confirmation: Confirmation) -> dict[str, Any]:
    return {"actor": confirmation.actor, "reason": confirmation.reason}
