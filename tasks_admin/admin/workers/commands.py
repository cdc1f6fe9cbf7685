"""The page of a worker command: GET shows the workers and the form, POST sends the command."""

from functools import partial
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from tasks_admin import workers
from tasks_admin.admin.shared.forms import ReasonForm
from tasks_admin.admin.shared.responses import can, current_user, perform, require_verb
from tasks_admin.lib.verbs import VERBS, WORKER_COMMANDS, Verb
from tasks_admin.models import Operation
from tasks_admin.models.targets import TargetState
from tasks_admin.workers import WorkerStatus

SIZE_LABELS = {
    "pool_grow": _("Processes to add"),
    "pool_shrink": _("Processes to remove"),
    "min": _("Minimum processes"),
    "max": _("Maximum processes"),
}


class WorkerCommandForm(ReasonForm):
    """The options of a command to these workers, and the reason."""

    def __init__(self, data: QueryDict | None, *, verb: str, names: list[str]) -> None:
        super().__init__(data)
        options = {name: _option_field(name, verb, names) for name in workers.OPTIONS.get(verb, ())}
        self.option_names = list(options)
        self.fields = options | _confirmed_queues(verb, names) | self.fields

    def options(self) -> dict[str, Any]:
        """Return the options of a valid form, as the command takes them."""
        return {name: self.cleaned_data[name] for name in self.option_names}


def _option_field(name: str, verb: str, names: list[str]) -> forms.Field:
    if name in workers.SIZE_OPTIONS:
        return forms.IntegerField(
            label=SIZE_LABELS[verb if name == "n" else name],
            min_value=1,
            max_value=workers.max_value(name),
            initial=1,
        )
    if name in workers.TIME_OPTIONS:
        return forms.IntegerField(
            label=_("Soft time limit") if name == "soft" else _("Time limit"),
            min_value=1,
            max_value=workers.max_value(name),
            required=False,
            help_text=_("In seconds. Leave empty for no limit."),
        )
    if name in {"queue", "task_name"}:
        return forms.ChoiceField(
            label=_("Queue") if name == "queue" else _("Task"),
            choices=[(choice, choice) for choice in workers.choices(name, verb, names)],
        )
    return forms.CharField(
        label=_("Rate limit"),
        required=False,
        max_length=10,
        help_text=_("For each worker, such as 10/s, 10/m or 10/h. Leave empty for no limit."),
    )


def _confirmed_queues(verb: str, names: list[str]) -> dict[str, forms.Field]:
    """Return the field that confirms queues without a consumer, if the command can cause them."""
    queues = workers.would_orphan(verb, names, {})
    if verb == "cancel_consumer":
        text: Any = _("If no other worker consumes the queue, type its name to confirm.")
    elif queues:
        text = format_lazy(
            _("These queues would have no consumer: {queues}. Type their names to confirm."),
            queues=", ".join(queues),
        )
    else:
        return {}
    field = forms.CharField(label=_("Queues without a consumer"), required=False, help_text=text)
    return {"confirmed_queues": field}


class WorkerCommandsMixin(ModelAdmin[Any]):
    """Adds the pages of the worker commands."""

    def command_urls(self) -> list[Any]:
        """Return one URL for all commands."""
        view = self.admin_site.admin_view(self.command)
        return [path("command/<slug:verb>/", view, name="tasks_admin_worker_command")]

    def offered(self, request: HttpRequest, known: list[WorkerStatus]) -> list[Verb]:
        """Return the commands that the user may send and at least one of these workers supports."""
        available = {verb for worker in known for verb in workers.available_commands(worker)}
        return [VERBS[verb] for verb in WORKER_COMMANDS if verb in available and can(request, verb)]

    def command(self, request: HttpRequest, verb: str) -> HttpResponse:
        """Show the page of a command on GET; send the command on POST."""
        if verb not in WORKER_COMMANDS:
            raise Http404
        if not self.has_view_permission(request):
            raise PermissionDenied
        return require_verb(verb, self._command)(request, verb)

    def _command(self, request: HttpRequest, verb: str) -> HttpResponse:
        names = _selected(request, verb)
        data = request.POST if request.method == "POST" else None
        form = WorkerCommandForm(data, verb=verb, names=names)
        if form.is_bound and form.is_valid():
            operation = self._send(request, verb, names, form)
            if operation is not None:
                return HttpResponseRedirect(operation.get_absolute_url())
        context = {
            **self.admin_site.each_context(request),
            "title": VERBS[verb].label,
            "opts": self.opts,
            "verb": VERBS[verb],
            "form": form,
            "hidden": [("name", name) for name in names],
            "selected": [worker for worker in workers.overview().workers if worker.name in names],
            "back": reverse("admin:tasks_admin_worker_changelist"),
        }
        return TemplateResponse(request, "admin/tasks_admin/worker/command.html", context)

    def _send(
        self, request: HttpRequest, verb: str, names: list[str], form: WorkerCommandForm
    ) -> Operation | None:
        send = partial(
            workers.send_command,
            verb=verb,
            names=names,
            actor=current_user(request),
            reason=form.cleaned_data["reason"],
            options=form.options(),
            confirmed_queues=form.cleaned_data.get("confirmed_queues", ""),
        )
        operation = perform(request, send, form=form)
        if operation is not None:
            messages.info(request, _sent(operation))
        return operation


def _selected(request: HttpRequest, verb: str) -> list[str]:
    """Return the names of the selected workers.

    *All online workers* is resolved on GET: the page lists them, and POST sends their names.
    """
    data = request.POST if request.method == "POST" else request.GET
    if request.method != "POST" and "all" in data:
        return workers.online_workers_for(verb)
    return [name.replace("\x00", "") for name in data.getlist("name")]


def _sent(operation: Operation) -> str:
    """Return the message after a command: how many workers received it and did not reply."""
    missing = operation.targets.filter(state=TargetState.UNKNOWN, reason="no_reply").count()
    sent = ngettext(
        "Sent the command to %(count)s worker",
        "Sent the command to %(count)s workers",
        operation.total,
    ) % {"count": f"{operation.total:,}"}
    if not missing:
        return f"{sent}."
    no_reply = ngettext("%(count)s did not reply", "%(count)s did not reply", missing)
    return f"{sent}; {no_reply % {'count': f'{missing:,}'}}."
