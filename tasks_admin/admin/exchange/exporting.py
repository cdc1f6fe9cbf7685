"""The export page."""

import logging
from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from import_export.admin import ExportMixin
from import_export.signals import post_export

from tasks_admin.admin.exchange.forms import ExportForm
from tasks_admin.admin.exchange.resources import Columns
from tasks_admin.admin.exchange.writers import WRITERS, Writer

logger = logging.getLogger(__name__)


class Exporting(ExportMixin, ModelAdmin[Any]):  # type: ignore[misc]
    """Exports the rows that the list shows, for staff with `export_permission`."""

    export_permission: str
    export_resource: type[Columns]
    #: The columns that are ticked at first; None for all of them.
    export_ticked: list[str] | None = None

    def has_export_permission(self, request: HttpRequest) -> bool:
        """Whether the actor may export: never by default."""
        return request.user.has_perm(self.export_permission)

    def get_export_resource_classes(self, request: HttpRequest) -> list[type[Columns]]:
        """The one list of columns."""
        return [self.export_resource]

    def export_action(self, request: HttpRequest) -> HttpResponseBase:
        """Ask for columns and format; then send the file."""
        if not self.has_export_permission(request):
            raise PermissionDenied
        try:
            rows = self.get_export_queryset(request)
        except IncorrectLookupParameters:
            messages.error(request, _("The filter could not be read, and nothing was exported."))
            return HttpResponseRedirect(reverse(f"admin:{self._stem()}_changelist"))
        columns = self.export_resource().get_export_order()
        form = ExportForm(request.POST or None, columns=columns, ticked=self.export_ticked)
        if form.is_valid() and (response := self._send(request, rows, form)):
            return response
        context = self.init_request_context_data(request, form)
        return TemplateResponse(request, [self.export_template_name], context)

    def _send(
        self, request: HttpRequest, rows: QuerySet[Any], form: ExportForm
    ) -> HttpResponseBase | None:
        writer = WRITERS[int(form.cleaned_data["format"])]
        if too_many(rows, writer):
            form.add_error("format", refusal(writer))
            return None
        columns = form.cleaned_data["columns"]
        content = self.export_resource().file(rows, columns, cells=writer.cells)
        filename = f"{self._stem()}-{timezone.localdate():%Y-%m-%d}.{writer.name}"
        response = writer.respond(content, filename)
        logger.info("User %s exported %s: %s", request.user.pk, filename, ", ".join(columns))
        post_export.send(sender=None, model=self.model)
        return response

    def _stem(self) -> str:
        return "_".join(self.get_model_info())


def too_many(rows: QuerySet[Any], writer: Writer) -> bool:
    """Whether the format can't be written with so many rows: nothing is ever cut."""
    most = writer.most
    return most is not None and rows.order_by().values("pk")[: most + 1].count() > most


def refusal(writer: Writer) -> str:
    """What to do about too many rows."""
    most = writer.most or 0
    return ngettext(
        "%(format)s is written with at most %(most)d row. Filter the list, or export CSV.",
        "%(format)s is written with at most %(most)d rows. Filter the list, or export CSV.",
        most,
    ) % {"format": writer.name.upper(), "most": most}
