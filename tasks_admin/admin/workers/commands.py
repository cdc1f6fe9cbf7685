"""Orders to workers: a page that asks what exactly and why, and a POST that does it."""

from functools import partial
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from tasks_admin import workers
from tasks_admin.admin.shared.forms import ReasonForm
from tasks_admin.admin.shared.responses import can, current_user, perform
from tasks_admin.lib.verbs import VERBS, WORKER_COMMANDS
from tasks_admin.models import Operation
from tasks_admin.models.targets import TargetState
from tasks_admin.workers import OPTIONS


class OrderForm(ReasonForm):
    """The options of an order to these workers, and why it is given."""

    def __init__(self, data: QueryDict | None, *, verb: str, names: list[str]) -> None:
        super().__init__(data)
        made = {name: _field(name, verb, names) for name in OPTIONS.get(verb, ())}
        self.options = list(made)
        if verb in {"shut_down", "cancel_consumer"}:
            made["typed"] = forms.CharField(
                label=_("Queues left alone"),
                required=False,
                help_text=_(
                    "Where nobody else consumes a queue: type its name (several: with commas)."
                ),
            )
        self.fields = made | {"reason": self.fields["reason"]}

    def given(self) -> dict[str, Any]:
        """The options, as the verb takes them."""
        return {name: self.cleaned_data[name] for name in self.options}


def _field(name: str, verb: str, names: list[str]) -> forms.Field:
    if name in workers.SIZES:
        label = {"n": _("Processes"), "min": _("At least"), "max": _("At most")}[name]
        return forms.IntegerField(label=label, min_value=1, max_value=workers.most(name), initial=1)
    if name in workers.LIMITS:
        return forms.IntegerField(
            label=_("Soft time limit") if name == "soft" else _("Time limit"),
            min_value=1,
            max_value=workers.most(name),
            required=False,
            help_text=_("Seconds. Empty: no limit."),
        )
    if name in {"queue", "task_name"}:
        known = workers.choices(name, verb, names)
        return forms.ChoiceField(
            label=_("Queue") if name == "queue" else _("Task"),
            choices=[(one, one) for one in known],
        )
    return forms.CharField(
        label=_("Rate limit"),
        required=False,
        max_length=10,
        help_text=_("Like 10/s, 10/m or 10/h, for each worker. Empty: no limit."),
    )


class WorkerCommandsMixin(ModelAdmin[Any]):
    """Adds the page that gives orders."""

    def order_urls(self) -> list[Any]:
        """An address for each verb."""
        view = self.admin_site.admin_view(self.order)
        return [path("order/<slug:verb>/", view, name="tasks_admin_worker_order")]

    def offered(self, request: HttpRequest, seen: list[workers.Seen]) -> list[Any]:
        """The orders that who looks may give, and one of these workers at least can carry out."""
        possible = {verb for one in seen for verb in workers.possible(one)}
        return [VERBS[verb] for verb in WORKER_COMMANDS if verb in possible and can(request, verb)]

    def order(self, request: HttpRequest, verb: str) -> HttpResponse:
        """Ask on a GET; do it on a POST."""
        if verb not in WORKER_COMMANDS:
            raise Http404
        if not (self.has_view_permission(request) and can(request, verb)):
            raise PermissionDenied
        data = request.POST if request.method == "POST" else request.GET
        names = [name.replace("\x00", "") for name in data.getlist("name")]
        if request.method != "POST" and "all" in data:  # the page names them, and sends the names
            names = workers.able(verb)
        form = OrderForm(request.POST if request.method == "POST" else None, verb=verb, names=names)
        if request.method == "POST" and form.is_valid():
            done = self._give(request, verb, names, form)
            if done is not None:
                return HttpResponseRedirect(done.get_absolute_url())
        context = {
            **self.admin_site.each_context(request),
            "title": VERBS[verb].label,
            "opts": self.opts,
            "verb": VERBS[verb],
            "form": form,
            "names": names,
            "chosen": [seen for seen in workers.overview().workers if seen.name in names],
            "back": reverse("admin:tasks_admin_worker_changelist"),
        }
        return TemplateResponse(request, "admin/tasks_admin/worker/order.html", context)

    def _give(
        self, request: HttpRequest, verb: str, names: list[str], form: OrderForm
    ) -> Operation | None:
        reason, actor = form.cleaned_data["reason"], current_user(request)
        order = partial(
            workers.order,
            verb=verb,
            names=names,
            actor=actor,
            reason=reason,
            options=form.given(),
            typed=form.cleaned_data.get("typed", ""),
        )
        operation = perform(request, order, form=form)
        if operation is not None:
            messages.info(request, _told(operation))
        return operation


def _told(operation: Operation) -> str:
    """How many were asked, and how many answered."""
    silent = operation.targets.filter(state=TargetState.UNKNOWN, reason="no_reply").count()
    asked = ngettext("Asked %(n)d worker", "Asked %(n)d workers", operation.total)
    said = asked % {"n": operation.total}
    if not silent:
        return f"{said}."
    rest = ngettext("%(n)d did not answer", "%(n)d did not answer", silent) % {"n": silent}
    return f"{said}; {rest}."
